"""Carriers joined with their machines: whole CoAP messages in and out, whichever the wire.

Above this line nobody knows datagram from stream, but for what one message may hold. Below it nobody knows a
session: `authenticate` is how the bounds of a stream are lifted.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from kos_edge.clock import Clock
from kos_edge.errors import Unavailable
from kos_edge.transport.address import Address, Carrier, DatagramCarrier, StreamCarrier
from kos_edge.transport.blockwise import BLOCK_SIZE
from kos_edge.transport.coap import Message, is_request
from kos_edge.transport.exchange import Answered, Event, Exchange, GaveUp, Requested
from kos_edge.transport.framing import Stream

MAX_UNAUTHENTICATED: Final = 64
"""Connections opened by others on which nobody has proved who they are."""

MAX_UNAUTHENTICATED_PER_HOST: Final = 32
"""Of these from one host, so that it alone cannot fill the table. In a full one whoever has the most gives way."""

AUTHENTICATE_WITHIN: Final = 5.0
"""Seconds that such a connection has."""

OVERHEAD: Final = 128
"""Bytes left around a payload for header, token, options and tag."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request that arrived; `size` counts its bytes on the wire."""

    source: Address
    message: Message
    size: int
    requested: Requested | None


class Taker(Protocol):
    """Who takes what arrives. None of these raises."""

    def request_arrived(self, incoming: Incoming) -> None: ...

    def response_arrived(self, source: Address, message: Message) -> bool:
        """Whether anybody waited for it and it was good."""
        ...

    def expects(self, token: bytes) -> bool:
        """Whether anybody waits for a response with this token."""
        ...

    def given_up(self, token: bytes, reason: str, *, reset: bool) -> None:
        """A request was never acknowledged, or rejected by a reset, which anybody can forge."""
        ...

    def connection_gone(self, peer: Address, reason: str) -> None: ...


class _Connection:
    """One stream with its machine and its deadline."""

    def __init__(self, carrier: StreamCarrier, inbound: bool) -> None:
        self.carrier = carrier
        self.inbound = inbound
        self.machine = Stream()
        self.deadline: asyncio.TimerHandle | None = None
        self.paused = False
        self.behind = False
        """What has come is not all read yet; meanwhile nothing more is taken from the wire."""

    @property
    def stranger(self) -> bool:
        return self.inbound and not self.machine.authenticated


class Links:
    """All wires of one endpoint."""

    def __init__(
        self, carriers: Sequence[Carrier], clock: Clock, random: Callable[[int], bytes], taker: Taker
    ) -> None:
        self._carriers = tuple(carriers)
        self._datagrams: dict[str, DatagramCarrier] = {}
        self._streams: dict[str, StreamCarrier] = {}
        for carrier in carriers:
            if isinstance(carrier, StreamCarrier):
                self._streams[carrier.name] = carrier
            else:
                self._datagrams[carrier.name] = carrier
        self._clock = clock
        self._taker = taker
        self._exchange = Exchange(random=random)
        self._connections: dict[Address, _Connection] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self.counters: Counter[str] = Counter()

    @property
    def bound(self) -> list[Address]:
        """Where others reach this endpoint."""
        return [address for carrier in self._carriers for address in carrier.bound]

    @property
    def connections(self) -> list[Address]:
        return list(self._connections)

    async def start(self) -> None:
        """Begin to listen everywhere. `Unavailable` when a port is taken; then nothing listens."""
        try:
            for carrier in self._carriers:
                await carrier.start(self)
        except Unavailable:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop listening and close every connection."""
        if self._timer is not None:
            self._timer.cancel()
        for peer, connection in list(self._connections.items()):
            connection.machine.release()
            self._end(peer, "this endpoint was closed")
        for carrier in self._carriers:
            await carrier.close()

    async def connect(self, target: Address) -> Address:
        """The address to send to: for a stream, that of a connection, opened if `target` names none.

        `Unavailable` when nobody answers there, the connection is gone, or no such carrier is here.
        """
        datagrams = self._datagrams.get(target.carrier)
        if datagrams is not None:
            return await datagrams.resolve(target)
        if target.connection is not None:
            self._connection(target)
            return target
        carrier = self._streams.get(target.carrier)
        if carrier is None:
            raise Unavailable(f"no carrier {target.carrier!r} here")
        return await carrier.connect(target)

    def is_stream(self, address: Address) -> bool:
        return address.carrier in self._streams

    def authenticate(self, peer: Address) -> None:
        """Lift the bounds of a connection whose other side proved who it is."""
        connection = self._connection(peer)
        connection.machine.authenticate()
        if connection.deadline is not None:
            connection.deadline.cancel()
        self._flush_stream(peer, connection)

    def max_payload(self, address: Address) -> int:
        """Bytes of payload that one message there may carry: on streams what the other side takes for now."""
        if not self.is_stream(address):
            return BLOCK_SIZE
        connection = self._connections.get(address)
        return connection.machine.peer_max - OVERHEAD if connection else 0

    async def drain(self, address: Address) -> None:
        """Wait until what is queued for an address is little; on datagrams it always is."""
        if self.is_stream(address):
            await self._connection(address).carrier.drain(address)

    def request(self, target: Address, message: Message, *, confirmable: bool) -> None:
        """Send a request. `Unavailable` when that cannot be done now."""
        if target.carrier in self._datagrams:
            self._exchange.request(target, message, self._clock.monotonic(), confirmable=confirmable)
            self._flush()
            return
        connection = self._connection(target)
        connection.machine.send(message)
        self._flush_stream(target, connection)

    def answer(self, incoming: Incoming, message: Message) -> None:
        """Send the answer to a request, if its wire is still there. `Misuse` when it is too long for it."""
        if incoming.requested is not None:
            self._exchange.answer(incoming.requested, message, self._clock.monotonic())
            self._flush()
            return
        connection = self._connections.get(incoming.source)
        if connection is not None:
            connection.machine.send(message)
            self._flush_stream(incoming.source, connection)

    def prove(self, incoming: Incoming) -> None:
        """A session's keys opened this request."""
        if incoming.requested is not None:
            self._exchange.prove(incoming.requested, self._clock.monotonic())

    def forget(self, incoming: Incoming) -> None:
        """Give no answer, as if the request had never come."""
        if incoming.requested is not None:
            self._exchange.forget(incoming.requested)

    def settle(self, token: bytes) -> None:
        """Nobody waits for this token any more."""
        self._exchange.settle(token)

    def pause(self, peer: Address, paused: bool) -> None:
        """Read no more from a connection, or go on; a datagram carrier cannot be paused."""
        connection = self._connections.get(peer)
        if connection is not None:
            connection.paused = paused
            connection.carrier.pause(peer, paused or connection.behind)
            if not paused and connection.behind:
                asyncio.get_running_loop().call_soon(self._read_on, peer, connection)

    def disconnect(self, peer: Address) -> None:
        """Say goodbye on a connection and close it; `connection_gone` is not told."""
        connection = self._connections.get(peer)
        if connection is not None:
            connection.machine.release()
            self._end(peer, "closed here", told=False)

    # What carriers call.

    def datagram_received(self, source: Address, data: bytes) -> None:
        now = self._clock.monotonic()
        event = self._exchange.receive(source, data, now)
        if event is not None:
            self._happened(event, len(data), now)
        self._flush()

    def connection_opened(self, peer: Address, *, inbound: bool) -> None:
        carrier = self._streams[peer.carrier]
        connection = _Connection(carrier, inbound)
        if inbound:
            if not self._has_room(peer.origin):
                self.counters["connections refused"] += 1
                carrier.disconnect(peer)
                return
            loop = asyncio.get_running_loop()
            connection.deadline = loop.call_later(AUTHENTICATE_WITHIN, self._too_late, peer)
        self._connections[peer] = connection
        self._flush_stream(peer, connection)

    def stream_received(self, peer: Address, data: bytes) -> None:
        connection = self._connections.get(peer)
        if connection is not None:
            connection.machine.receive(data)
            self._take_stream(peer, connection)

    def connection_lost(self, peer: Address, reason: str) -> None:
        self._end(peer, reason, flush=False)

    # Plumbing.

    def _take_stream(self, peer: Address, connection: _Connection) -> None:
        machine = connection.machine
        for message in machine.messages():
            if is_request(message.code):
                size = len(message.payload) + len(message.token)
                self._taker.request_arrived(Incoming(peer, message, size, None))
            else:
                self._taker.response_arrived(peer, message)
        self._flush_stream(peer, connection)
        if machine.closed is not None:
            self._end(peer, machine.closed)
            return
        if machine.more and not connection.behind:
            asyncio.get_running_loop().call_soon(self._read_on, peer, connection)
        connection.behind = machine.more
        connection.carrier.pause(peer, connection.paused or connection.behind)

    def _read_on(self, peer: Address, connection: _Connection) -> None:
        """Others have had their turn: on with what has come."""
        here = self._connections.get(peer) is connection
        if here and connection.behind and not connection.paused:
            connection.behind = False
            connection.machine.read()
            self._take_stream(peer, connection)

    def _has_room(self, origin: str) -> bool:
        """Whether one more stranger from there may stay: it may have to cost one of whoever has most."""
        strangers = [peer for peer, connection in self._connections.items() if connection.stranger]
        origins = Counter(peer.origin for peer in strangers)
        if origins[origin] >= MAX_UNAUTHENTICATED_PER_HOST:
            return False
        if len(strangers) < MAX_UNAUTHENTICATED:
            return True
        greediest, most = origins.most_common(1)[0]
        if most <= origins[origin] + 1:
            return False
        self.counters["connections crowded out"] += 1
        self._end(next(peer for peer in strangers if peer.origin == greediest), "others want to be heard")
        return True

    def _happened(self, event: Event, size: int, now: float) -> None:
        match event:
            case Requested(source, message):
                self._taker.request_arrived(Incoming(source, message, size, event))
            case Answered(source, message):
                if self._taker.response_arrived(source, message):
                    self._exchange.accept(event, now)
                elif not self._taker.expects(message.token):
                    self._exchange.reject(event)
            case GaveUp(token, reason, reset):
                self._taker.given_up(token, reason, reset=reset)

    def _connection(self, peer: Address) -> _Connection:
        connection = self._connections.get(peer)
        if connection is None:
            raise Unavailable(f"the connection to {peer} is gone")
        return connection

    def _too_late(self, peer: Address) -> None:
        self._end(peer, "nobody proved who they are in time")

    def _end(self, peer: Address, reason: str, *, flush: bool = True, told: bool = True) -> None:
        connection = self._connections.pop(peer, None)
        if connection is None:
            return
        if connection.deadline is not None:
            connection.deadline.cancel()
        if flush:
            self._flush_stream(peer, connection)
            connection.carrier.disconnect(peer)
        if told:
            self._taker.connection_gone(peer, reason)

    def _flush_stream(self, peer: Address, connection: _Connection) -> None:
        data = connection.machine.pending()
        if data:
            connection.carrier.write(peer, data)

    def _flush(self) -> None:
        for target, data in self._exchange.pending():
            self._datagrams[target.carrier].send(target, data)
        due = self._exchange.timer()
        if due is not None and due < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = due
            delay = max(0.0, due - self._clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._time_passed)

    def _time_passed(self) -> None:
        self._timer_at = float("inf")
        now = self._clock.monotonic()
        for event in self._exchange.handle_timer(now):
            self._happened(event, 0, now)
        self._flush()
