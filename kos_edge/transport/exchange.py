"""The message layer over datagrams as a machine (RFC 7252 section 4): types, message ids, retransmission.

It knows nothing of OSCORE and trusts nobody. Whoever uses it says whether a message was worth anything:
`answer` or `forget` a request, `settle` a token once its response proved good. Until then a damaged copy
changes nothing, so that the retransmission of the real one still gets through.

Whoever has not been proved (`prove`) has a memory of its own, which members' messages do not share, and an
answer that is never repeated by itself: its address may be forged.

Memory is kept for confirmable messages only. A non-confirmable request under OSCORE needs none: the replay
window knows duplicates, so neither memory nor message ids run out however fast they are sent.
"""

from __future__ import annotations

import heapq
import itertools
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kos_edge.errors import Invalid, Unavailable
from kos_edge.transport.address import Address
from kos_edge.transport.coap import ACK, CON, EMPTY, NON, RST, Message, is_request
from kos_edge.transport.repeats import MAX_ANSWERS_OF_STRANGERS, MAX_SEEN_OF_STRANGERS, Key, Repeats
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

MAX_APART: Final = 256
"""Of these, answers that came after their acknowledgement: members that never acknowledge them leave room for
requests. Beyond it an answer goes once."""

MAX_APART_PER_PEER: Final = 16
"""Of these, to one address."""


@dataclass(frozen=True, slots=True)
class Requested:
    """A request arrived. Give it back to `answer` or `forget`."""

    source: Address
    message: Message
    size: int = 0

    @property
    def key(self) -> Key:
        return self.source, self.message.mid, self.message.token


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
        self._members = Repeats()
        self._strangers = Repeats(MAX_SEEN_OF_STRANGERS, MAX_ANSWERS_OF_STRANGERS)
        self._apart: Counter[Address] = Counter()
        self._unanswered: dict[Key, float] = {}  # the earliest first, since all have the same time
        self._timers: list[tuple[float, int, tuple[Address, int]]] = []
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

        What goes apart is confirmable for a member that has acknowledged most of those before it, and else goes
        once: RFC 7252 section 5.2.2 allows both.
        """
        request, source, key = requested.message, requested.source, requested.key
        if request.kind == NON:
            self._send(source, message, NON, self._next_mid(source))
        elif self._unanswered.pop(key, None) is not None:
            data = self._send(source, message, ACK, request.mid)
            self._memory(key).answered(key, data, now)
        elif key in self._members and self._has_room_apart(source):
            self._launch(source, message, now, request=False)
        else:
            self._send(source, message, NON, self._next_mid(source))

    def prove(self, requested: Requested, now: float) -> None:
        """The keys of a session opened this request: it is remembered among those of members."""
        if requested.message.kind == CON:
            self._strangers.forget(requested.key)
            self._members.came(requested.key, requested.size, now)

    def forget(self, requested: Requested) -> None:
        """The request was not what it said: as if it had never come, so that a good copy of it is heard."""
        self._unanswered.pop(requested.key, None)
        self._memory(requested.key).forget(requested.key)

    def accept(self, answered: Answered, now: float) -> None:
        """The response was good: acknowledge it if it asks for that, and repeat its request no more."""
        message = answered.message
        self.settle(message.token)
        if message.kind == CON:
            key = (answered.source, message.mid, message.token)
            self._members.came(key, 0, now)
            self._members.answered(key, self._empty(answered.source, ACK, message.mid), now)

    def reject(self, answered: Answered) -> None:
        """Nobody waits for this response: a confirmable one is told so, so that it is not repeated."""
        if answered.message.kind == CON:
            self._empty(answered.source, RST, answered.message.mid)

    def settle(self, token: bytes) -> None:
        """Nobody waits for this token any more: send its request no more."""
        flight = self._by_token.pop(token, None)
        if flight is not None:
            self._landed(flight.target, flight.mid)

    def pending(self) -> list[tuple[Address, bytes]]:
        """The datagrams to send since the last call."""
        taken, self._out = self._out, []
        return taken

    @property
    def remembered(self) -> tuple[int, int]:
        """How many confirmable messages of others are remembered, and the bytes of the answers kept for
        them.
        """
        kept = (self._members, self._strangers)
        return sum(memory.count for memory in kept), sum(memory.answer_bytes for memory in kept)

    @property
    def apart(self) -> int:
        """Answers of ours that wait for an acknowledgement."""
        return self._apart.total()

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
            key = (source, message.mid, message.token)
            repeated, kept = self._memory(key).look(key, len(data), now)
            if kept is not None:
                self._out.append((source, kept))
            if repeated:
                return None
        if not is_request(code):
            return Answered(source, message)
        if kind == CON:
            self._strangers.came(key, len(data), now)
            self._unanswered.pop(key, None)
            self._unanswered[key] = now + ACK_DELAY
        return Requested(source, message, len(data))

    def _empty_arrived(self, source: Address, message: Message) -> Event | None:
        if message.kind == CON:  # a ping, RFC 7252 section 4.3
            self._empty(source, RST, message.mid)
            return None
        flight = self._landed(source, message.mid)
        if flight is None or message.kind == ACK or not flight.request:
            return None
        self._by_token.pop(flight.token, None)
        return GaveUp(flight.token, "the other side rejected it with a reset", reset=True)

    # Time.

    def timer(self) -> float | None:
        """When `handle_timer` has something to do next; None when never."""
        flight = self._timers[0][0] if self._timers else None
        answer = next(iter(self._unanswered.values()), None)
        return min((due for due in (flight, answer) if due is not None), default=None)

    def handle_timer(self, now: float) -> list[Event]:
        """Retransmit, acknowledge what takes long, give up."""
        events: list[Event] = []
        while self._unanswered and next(iter(self._unanswered.values())) <= now:
            late = next(iter(self._unanswered))
            del self._unanswered[late]
            self._memory(late).answered(late, self._empty(late[0], ACK, late[1]), now)
        while self._timers and self._timers[0][0] <= now:
            key = heapq.heappop(self._timers)[2]
            flight = self._flights.get(key)
            if flight is None or flight.due > now:
                continue
            if flight.sends > MAX_RETRANSMIT:
                self._landed(*key)
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

    def _memory(self, key: Key) -> Repeats:
        return self._members if key in self._members else self._strangers

    def _has_room_apart(self, target: Address) -> bool:
        return self._apart[target] < MAX_APART_PER_PEER and self._apart.total() < MAX_APART

    def _landed(self, target: Address, mid: int) -> _Flight | None:
        """Nothing more is sent of this flight."""
        flight = self._flights.pop((target, mid), None)
        if flight is not None and not flight.request:
            self._apart[target] -= 1
            if not self._apart[target]:
                del self._apart[target]
        return flight

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
        else:
            self._apart[target] += 1
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
