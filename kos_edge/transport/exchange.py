"""The message layer over datagrams as a machine (RFC 7252 section 4): types, message ids, retransmission.

It knows nothing of OSCORE and trusts nobody. Whoever uses it says whether a message was worth anything:
`answer` or `forget` a request, `settle` a token once its response proved good. Until then a damaged copy
changes nothing, so that the retransmission of the real one still gets through.

Memory is kept for confirmable messages only. A non-confirmable request under OSCORE needs none: the replay
window knows duplicates, so neither memory nor message ids run out however fast they are sent.
"""

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kos_edge.errors import Invalid, Unavailable
from kos_edge.transport.address import Address
from kos_edge.transport.coap import ACK, CON, EMPTY, NON, RST, Message, is_request
from kos_edge.transport.repeats import Key, Repeats
from kos_edge.transport.wire import decode_datagram, encode_datagram

# RFC 7252 section 4.8, in seconds.
ACK_TIMEOUT: Final = 2.0
ACK_RANDOM_FACTOR: Final = 1.5
MAX_RETRANSMIT: Final = 4

ACK_DELAY: Final = 0.5
"""Seconds that a handler has before its request is acknowledged alone: a quarter of the sender's first
timeout.
"""

MAX_IN_FLIGHT: Final = 1_024
"""Confirmable messages of ours that wait for an acknowledgement, over all peers."""


@dataclass(frozen=True, slots=True)
class Requested:
    """A request arrived. Give it back to `answer` or `forget`."""

    source: Address
    message: Message


@dataclass(frozen=True, slots=True)
class Answered:
    """A response arrived; it may be anything until the user has looked at it. Give it back to `accept` if
    good.
    """

    source: Address
    message: Message


@dataclass(frozen=True, slots=True)
class GaveUp:
    """The request with this token was never acknowledged, or was rejected by a reset."""

    token: bytes
    reason: str
    reset: bool = False


Event = Requested | Answered | GaveUp


@dataclass(slots=True)
class _Flight:
    """A confirmable message of ours that waits for its acknowledgement."""

    target: Address
    mid: int
    token: bytes
    data: bytes
    timeout: float
    due: float
    request: bool
    sends: int = 1


class Exchange:
    """All datagram exchanges of one endpoint, whichever the peer. Times are monotonic seconds."""

    def __init__(self, *, random: Callable[[int], bytes] = os.urandom) -> None:
        self._random = random
        self._mid = int.from_bytes(random(2), "big")
        self._flights: dict[tuple[Address, int], _Flight] = {}
        self._by_token: dict[bytes, _Flight] = {}
        self._repeats = Repeats()
        self._unanswered: dict[Key, float] = {}
        self._timers: list[tuple[float, int, tuple[Address, int] | Key]] = []
        self._order = itertools.count()
        self._out: list[tuple[Address, bytes]] = []

    # What goes out.

    def request(self, target: Address, message: Message, now: float, *, confirmable: bool) -> None:
        """Send a request. `Unavailable` when too many confirmable ones wait for their acknowledgement."""
        if confirmable:
            self._launch(target, message, now, request=True)
        else:
            self._send(target, message, NON, self._next_mid(target))

    def answer(self, requested: Requested, message: Message, now: float) -> None:
        """Answer a request: on its acknowledgement, or apart when that has gone, or non-confirmable like
        it.
        """
        request, source = requested.message, requested.source
        if request.kind == NON:
            self._send(source, message, NON, self._next_mid(source))
            return
        key = (source, request.mid, request.token)
        if self._unanswered.pop(key, None) is None:
            self._launch(source, message, now, request=False)
            return
        data = self._send(source, message, ACK, request.mid)
        self._repeats.answered(key, data, now)

    def forget(self, requested: Requested) -> None:
        """The request was not what it said: as if it had never come, so that a good copy of it is heard."""
        key = (requested.source, requested.message.mid, requested.message.token)
        self._unanswered.pop(key, None)
        self._repeats.forget(key)

    def accept(self, answered: Answered, now: float) -> None:
        """The response was good: acknowledge it if it asks for that, and repeat its request no more."""
        message = answered.message
        self.settle(message.token)
        if message.kind == CON:
            key = (answered.source, message.mid, message.token)
            self._repeats.came(key, now)
            self._repeats.answered(key, self._empty(answered.source, ACK, message.mid), now)

    def reject(self, answered: Answered) -> None:
        """Nobody waits for this response: a confirmable one is told so, so that it is not repeated."""
        if answered.message.kind == CON:
            self._empty(answered.source, RST, answered.message.mid)

    def settle(self, token: bytes) -> None:
        """Nobody waits for this token any more: send its request no more."""
        flight = self._by_token.pop(token, None)
        if flight is not None:
            self._flights.pop((flight.target, flight.mid), None)

    def pending(self) -> list[tuple[Address, bytes]]:
        """The datagrams to send since the last call."""
        taken, self._out = self._out, []
        return taken

    @property
    def remembered(self) -> tuple[int, int]:
        """How many confirmable messages of others are remembered, and the bytes of the answers kept for
        them.
        """
        return self._repeats.count, self._repeats.answer_bytes

    # What comes in.

    def receive(self, source: Address, data: bytes, now: float) -> Event | None:
        """Take one datagram. Never raises: what is not CoAP is None."""
        try:
            message = decode_datagram(data)
        except Invalid:
            return None
        kind, code = message.kind, message.code
        if code == EMPTY:
            return self._empty_arrived(source, message)
        if kind == CON:
            repeated, kept = self._repeats.look((source, message.mid, message.token), now)
            if kept is not None:
                self._out.append((source, kept))
            if repeated:
                return None
        if not is_request(code):
            return Answered(source, message)
        if kind == CON:
            key = (source, message.mid, message.token)
            self._repeats.came(key, now)
            self._unanswered[key] = now + ACK_DELAY
            heapq.heappush(self._timers, (now + ACK_DELAY, next(self._order), key))
        return Requested(source, message)

    def _empty_arrived(self, source: Address, message: Message) -> Event | None:
        if message.kind == CON:  # a ping, RFC 7252 section 4.3
            self._empty(source, RST, message.mid)
            return None
        flight = self._flights.pop((source, message.mid), None)
        if flight is None:
            return None
        if message.kind == ACK:
            return None
        if not flight.request:
            return None
        self._by_token.pop(flight.token, None)
        return GaveUp(flight.token, "the other side rejected it with a reset", reset=True)

    # Time.

    def timer(self) -> float | None:
        """When `handle_timer` has something to do next; None when never."""
        return self._timers[0][0] if self._timers else None

    def handle_timer(self, now: float) -> list[Event]:
        """Retransmit, acknowledge what takes long, give up."""
        events: list[Event] = []
        while self._timers and self._timers[0][0] <= now:
            key = heapq.heappop(self._timers)[2]
            if len(key) == 3:
                if self._unanswered.pop(key, now + 1) <= now:
                    self._repeats.answered(key, self._empty(key[0], ACK, key[1]), now)
                continue
            flight = self._flights.get(key)
            if flight is None or flight.due > now:
                continue
            if flight.sends > MAX_RETRANSMIT:
                del self._flights[key]
                if flight.request:
                    self._by_token.pop(flight.token, None)
                    events.append(GaveUp(flight.token, "no acknowledgement after four retransmissions"))
                continue
            flight.sends += 1
            flight.timeout *= 2
            flight.due = now + flight.timeout
            heapq.heappush(self._timers, (flight.due, next(self._order), key))
            self._out.append((flight.target, flight.data))
        return events

    # Plumbing.

    def _launch(self, target: Address, message: Message, now: float, *, request: bool) -> None:
        if len(self._flights) >= MAX_IN_FLIGHT:
            raise Unavailable("too many confirmable messages wait for their acknowledgement")
        mid = self._next_mid(target)
        data = self._send(target, message, CON, mid)
        spread = int.from_bytes(self._random(2), "big") / 0xFFFF
        timeout = ACK_TIMEOUT * (1 + (ACK_RANDOM_FACTOR - 1) * spread)
        flight = _Flight(target, mid, message.token, data, timeout, now + timeout, request)
        self._flights[target, mid] = flight
        if request:  # the token of an answer is the other side's, and may be one of ours
            self._by_token[message.token] = flight
        heapq.heappush(self._timers, (flight.due, next(self._order), (target, mid)))

    def _send(self, target: Address, message: Message, kind: int, mid: int) -> bytes:
        data = encode_datagram(message._replace(kind=kind, mid=mid))
        self._out.append((target, data))
        return data

    def _empty(self, target: Address, kind: int, mid: int) -> bytes:
        return self._send(target, Message(EMPTY), kind, mid)

    def _next_mid(self, target: Address) -> int:
        # At most MAX_IN_FLIGHT of 65,536 are taken, so this ends; ids that are not in flight are free at
        # once, since receivers here tell messages apart by token too.
        while True:
            self._mid = self._mid + 1 & 0xFFFF
            if (target, self._mid) not in self._flights:
                return self._mid
