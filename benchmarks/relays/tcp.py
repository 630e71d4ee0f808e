"""A relay for connections, in a thread: it can be cut and mended, and counts what goes through.

A cut is one of three, drawn by seed: *stalled* (what is sent waits until it is mended, as when a cable is out for a
while), *reset* (connections break at once and none is taken until it is mended, as when a router restarts), or *torn*
(the next bytes get half through, then it is reset).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

CONNECTIONS = 64
"""Connections at a time; more are closed at once."""

CHUNK = 16_384
END_S = 2.0
"""Seconds that broken connections are given to end."""

TCP_HEADERS = 52
"""Bytes before the payload of a segment: IPv4 20, TCP 20, timestamps 12."""

_INFO_BYTES = 232  # of struct tcp_info as Linux has it since 4.6, which has both counts of segments
_SEGMENTS = 136  # where tcpi_segs_out and tcpi_segs_in stand in it


class Cut(Enum):
    """How a link fails."""

    STALLED = auto()
    RESET = auto()
    TORN = auto()


@dataclass(slots=True)
class Traffic:
    """What the clients' side has seen of it, both directions together."""

    connections: int = 0
    payload: int = 0
    segments: int = 0

    @property
    def bytes(self) -> int:
        """On the wire, headers of IP and TCP included."""
        return self.payload + self.segments * TCP_HEADERS


class TcpRelay:
    """Before the port `target` of loopback; `port` is its own. Its methods may be called from any thread."""

    def __init__(self, target: int, seed: int = 0) -> None:
        self.traffic = Traffic()
        self.port = 0
        self._target = target
        self._lot = random.Random(f"relay {seed}")
        self._whole = asyncio.Event()
        self._whole.set()
        self._cut: Cut | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._serve(),), daemon=True
        )

    def start(self) -> None:
        """Take connections from now on."""
        self._thread.start()
        self._ready.wait()

    def close(self) -> None:
        """End it and all that goes through it; nothing when it has ended."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()

    def cut(self) -> Cut:
        """Cut the link, in the way that is drawn next; say which."""
        how = self._lot.choice(list(Cut))
        self._loop.call_soon_threadsafe(self._do_cut, how)
        return how

    def mend(self) -> None:
        """Make it whole."""
        self._loop.call_soon_threadsafe(self._do_mend)

    def _do_cut(self, how: Cut) -> None:
        self._cut = how
        self._whole.clear()
        if how is Cut.RESET:
            self._break_all()

    def _do_mend(self) -> None:
        self._cut = None
        self._whole.set()

    def _break_all(self) -> None:
        for writer in list(self._open):
            wire = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # no lingering: the other side hears RST
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        server.close()
        self._whole.set()
        for writer in list(self._clients):
            self._count(writer)
        self._break_all()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if rest:
            await asyncio.wait(rest, timeout=END_S)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        refused = self._cut in (Cut.RESET, Cut.TORN) or len(self._open) >= 2 * CONNECTIONS
        if refused:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self.traffic.connections += 1
        self._open |= {writer, far_writer}
        self._clients.add(writer)
        ways = [
            asyncio.ensure_future(self._carry(reader, far_writer)),
            asyncio.ensure_future(self._carry(far_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._count(writer)
            for way in ways:
                way.cancel()
            self._open -= {writer, far_writer}
            for each in (writer, far_writer):
                each.close()

    def _count(self, client: asyncio.StreamWriter) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self.traffic.segments += _segments(client)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if self._cut is Cut.TORN:
                    writer.write(data[: len(data) // 2])
                    self._break_soon()
                await self._whole.wait()
                self.traffic.payload += len(data)
                writer.write(data)
                await writer.drain()

    def _break_soon(self) -> None:
        self._loop.call_later(0.01, self._break_all)  # after the half has left


def _segments(writer: asyncio.StreamWriter) -> int:
    wire = writer.get_extra_info("socket")
    try:
        info = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:
        return 0
    return sum(struct.unpack_from("II", info, _SEGMENTS)) if len(info) >= _SEGMENTS + 8 else 0


@contextlib.contextmanager
def relaying(target: int, seed: int = 0) -> Iterator[TcpRelay]:
    """While it runs."""
    relay = TcpRelay(target, seed)
    relay.start()
    try:
        yield relay
    finally:
        relay.close()
