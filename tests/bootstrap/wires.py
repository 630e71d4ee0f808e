"""A wire in virtual time between one that calls and one that is called: datagrams get lost, late, damaged."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from kos_edge.bootstrap.carriage import Established, Post, Reply
from kos_edge.bootstrap.responders import Responders
from kos_edge.bootstrap.session import InitiatorHandshake
from kos_edge.errors import KosError
from tests.bootstrap.people import Place

RETRY = 2.0
TRIES = 5
PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to a datagram, by chance or by its number."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    lost: frozenset[int] = frozenset()
    doubled: frozenset[int] = frozenset()


@dataclass
class Wire:
    """Runs handshakes, one after the other, until one succeeds; a failed one is never gone on with."""

    begin: Callable[[float], InitiatorHandshake]
    responders: Responders
    weather: Weather
    seed: int = 0
    now: float = 1_000.0
    handshakes: int = 0
    called: list[Established] = field(default_factory=list)
    errors: list[KosError] = field(default_factory=list)
    largest_ratio: float = 0.0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._numbers = itertools.count()
        self._sent = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._answers: list[tuple[int, Reply]] = []

    def run(self, handshakes: int = 30) -> Established:
        """The first handshake that succeeds, as the one that called sees it."""
        for _ in range(handshakes):
            self.handshakes += 1
            handshake = self.begin(self.now)
            try:
                step: Post | Established = handshake.start()
                while isinstance(step, Post):
                    reply = self._exchange(step)
                    step = handshake.receive(reply.code, reply.payload, self.now, echo=reply.echo)
                return step
            except KosError as error:
                self.errors.append(error)
                if handshake.farewell:
                    self._send(handshake.farewell.payload, lambda data: self._serve(-1, data, None))
                self.now += PAUSE
        raise AssertionError(f"no handshake in {handshakes} succeeded: {self.errors}")

    def _exchange(self, post: Post) -> Reply:
        """Send, and send again, until an answer to this very request comes (CoAP's tokens see to that)."""
        token = next(self._numbers)
        for attempt in range(TRIES):
            self._send(post.payload, lambda data: self._serve(token, data, post.echo))
            until = self.now + RETRY * 2**attempt
            while self._due and self._due[0][0] <= until:
                self.now, _, deliver = heapq.heappop(self._due)
                deliver()
                for answered, reply in self._answers:
                    if answered == token:
                        self._answers.clear()
                        return reply
            self.now = until
        return Reply(0xA4)  # what a client makes of silence: 5.04

    def _serve(self, token: int, data: bytes, echo: bytes | None) -> None:
        outcome = self.responders.receive(Place("client"), data, self.now, echo=echo)
        if outcome.established:
            self.called.append(outcome.established)
        reply = outcome.reply
        assert reply is not None
        if echo is None:
            self.largest_ratio = max(self.largest_ratio, len(reply.payload) / len(data))

        def deliver(payload: bytes) -> None:
            self._answers.append((token, Reply(reply.code, payload, reply.echo)))

        self._send(reply.payload, deliver)

    def _send(self, data: bytes, deliver: Callable[[bytes], None]) -> None:
        number = next(self._sent)
        weather, chance = self.weather, self._chance
        copies = 2 if number in weather.doubled or chance.random() < weather.duplicate else 1
        for _ in range(copies):
            if number in weather.lost or chance.random() < weather.loss:
                continue
            arriving = data
            if data and chance.random() < weather.corrupt:
                at = chance.randrange(len(data))
                arriving = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
            late = 3.0 if chance.random() < weather.reorder else 0.01
            due = (self.now + late, next(self._numbers), lambda it=arriving: deliver(it))
            heapq.heappush(self._due, due)
