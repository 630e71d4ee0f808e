"""Connections over TCP, IPv4 and IPv6."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Sequence
from typing import Final

from kos_edge.errors import Unavailable
from kos_edge.system import tune_connection
from kos_edge.transport.address import Address, Receiver

CONNECT_TIMEOUT: Final = 5.0
"""Seconds for the other side to take a connection; the same that unacknowledged bytes get later."""

USER_TIMEOUT: Final = 5_000
"""Milliseconds that sent bytes may stay unacknowledged before the connection is lost (RFC 5482). The kernel
alone waits 15 minutes, and so would a backlog behind a cable that is out."""

KEEPALIVE: Final = 30
"""Seconds of silence before the kernel asks whether the other side is there; three questions, 5 s apart."""

HIGH_WATER: Final = 256 * 1024
"""Bytes queued for one connection above which `drain` waits: a few of the longest messages."""

MAX_QUEUE: Final = 1 << 20
"""Bytes queued at which a connection whose other side does not read is given up."""

ANY: Final = (("0.0.0.0", 5683), ("::", 5683))
"""Everywhere, on CoAP's port (RFC 8323 section 8.1)."""


class TcpCarrier:
    """Connections taken at each address of `binds`, and opened to others. Without binds it only calls.

    Port 0 takes any free port, the same for all.
    """

    def __init__(self, binds: Sequence[tuple[str, int]] = ANY, *, name: str = "tcp") -> None:
        self.name = name
        self.bound: list[Address] = []
        self._binds = tuple(binds)
        self._servers: list[asyncio.Server] = []
        self._pipes: dict[Address, _Pipe] = {}
        self._numbers = itertools.count(1)
        self._receiver: Receiver | None = None

    async def start(self, receiver: Receiver) -> None:
        """Bind and begin to take connections. `Unavailable` when a port is taken or an address is not ours."""
        self._receiver = receiver
        loop = asyncio.get_running_loop()
        port, missing = 0, None
        for host, wanted in self._binds:
            try:
                server = await loop.create_server(
                    lambda: _Pipe(self, inbound=True), host, wanted or port, reuse_address=True
                )
            except OSError as error:
                if host == "::" and _is_without_ipv6():
                    missing = error
                    continue
                await self.close()
                raise Unavailable(
                    f"cannot listen on {host} port {wanted} for TCP: {error.strerror}",
                    hint="another program may have the port; choose one with --listen ADDR:PORT",
                ) from None
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
            self.bound.append(Address(self.name, host, port))
        if self._binds and not self.bound:
            raise Unavailable(f"this machine has no address to listen on for TCP: {missing}")

    async def connect(self, target: Address) -> Address:
        """Open a connection. `Unavailable` when nobody answers within 5 s."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _, pipe = await loop.create_connection(
                    lambda: _Pipe(self, inbound=False), target.host, target.port
                )
        except TimeoutError:
            raise Unavailable(f"nobody answers at {target}") from None
        except OSError as error:
            raise Unavailable(f"cannot connect to {target}: {error.strerror or error}") from None
        if pipe.peer is None:
            raise Unavailable(f"the connection to {target} was lost at once")
        return pipe.peer

    def write(self, peer: Address, data: bytes) -> None:
        """Queue bytes. A connection on which more than 1 MiB waits is given up."""
        pipe = self._pipes.get(peer)
        if pipe is not None:
            pipe.write(data)

    async def drain(self, peer: Address) -> None:
        """Wait until less than 256 KiB waits to be sent, or the connection is lost."""
        pipe = self._pipes.get(peer)
        if pipe is not None:
            await pipe.room.wait()

    def pause(self, peer: Address, paused: bool) -> None:
        pipe = self._pipes.get(peer)
        if pipe is not None:
            pipe.pause(paused)

    def disconnect(self, peer: Address) -> None:
        """Close when what is queued is sent, or after 5 s without progress."""
        pipe = self._pipes.pop(peer, None)
        if pipe is not None:
            pipe.finish()

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for peer in list(self._pipes):
            self.disconnect(peer)
        self._servers.clear()
        self.bound.clear()

    # What pipes call.

    def opened(self, pipe: _Pipe, host: str, port: int, *, inbound: bool) -> Address:
        peer = Address(self.name, host, port, next(self._numbers))
        self._pipes[peer] = pipe
        pipe.peer = peer
        assert self._receiver is not None
        self._receiver.connection_opened(peer, inbound=inbound)
        return peer

    def received(self, peer: Address, data: bytes) -> None:
        if self._receiver is not None and peer in self._pipes:
            self._receiver.stream_received(peer, data)

    def lost(self, peer: Address, reason: str) -> None:
        if self._pipes.pop(peer, None) is not None and self._receiver is not None:
            self._receiver.connection_lost(peer, reason)


class _Pipe(asyncio.Protocol):
    """One connection as the event loop sees it."""

    def __init__(self, carrier: TcpCarrier, *, inbound: bool) -> None:
        self.peer: Address | None = None
        self.room = asyncio.Event()
        self.room.set()
        self._carrier = carrier
        self._inbound = inbound
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        tune_connection(transport.get_extra_info("socket"), KEEPALIVE, USER_TIMEOUT)
        transport.set_write_buffer_limits(high=HIGH_WATER)
        name = transport.get_extra_info("peername")
        if name is None:
            transport.abort()
            return
        self._carrier.opened(self, name[0], name[1], inbound=self._inbound)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None:
            self._carrier.received(self.peer, data)

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.room.set()
        if self.peer is not None:
            reason = getattr(exc, "strerror", None) or "closed by the other side"
            self._carrier.lost(self.peer, reason)

    def write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() + len(data) > MAX_QUEUE:
            transport.abort()
        else:
            transport.write(data)

    def pause(self, paused: bool) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if paused:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def finish(self) -> None:
        self.room.set()
        if self._transport is not None:
            self._transport.close()


def _is_without_ipv6() -> bool:
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    except OSError:
        return True
    return not socket.has_ipv6
