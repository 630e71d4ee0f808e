"""Two stores, a courier and a bad wire between them, in virtual time: the harness of the delivery tests."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from kos_edge.delivery.courier import DATAGRAM_BUDGET, Courier
from kos_edge.delivery.load import lane_of
from kos_edge.delivery.position import Verdict
from kos_edge.delivery.receipts import Settled
from kos_edge.delivery.window import Window
from kos_edge.delivery.wire import (
    Answer,
    Offer,
    decode_answer,
    decode_ship,
    encode_answer,
    encode_ship,
)
from kos_edge.errors import Invalid
from kos_edge.klp.body import Data
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.message import Reason
from kos_edge.klp.pack import Class, Message, Stream, unseal
from kos_edge.klp.sealed import Sealed
from kos_edge.klp.tombstone import is_tombstone, unseal_tombstone
from kos_edge.store.journal import Incoming
from kos_edge.store.outbox import Stamp, Waiting
from kos_edge.store.store import Store

MESH = bytes(range(32))
LANE = ("hub", Class())


@dataclass
class Wire:
    """What happens to a datagram: shares of loss, duplication and corruption, and a spread of delay in seconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    delay: float = 0.01
    spread: float = 0.0


@dataclass
class Source:
    """A store with a key that appends messages."""

    key: KeyPair
    store: Store = field(default_factory=lambda: Store(":memory:"))
    start: int = 0

    def __post_init__(self) -> None:
        self.store.own(self.key.kid)
        self.restart()

    def restart(self) -> None:
        """A new process: a new epoch."""
        self.start += 1
        seed = self.start.to_bytes(4, "big")
        self.store.database.transact([lambda: self.store.outbox.open_epoch(lambda n: seed[:n])])

    def append(self, values: list[object], lane: tuple[str, Class] = LANE) -> None:
        """Accept messages; raises what the store raises."""
        messages = [Message("air.temperature", Data(value)) for value in values]
        stamp = Stamp(1000, None, None)
        (result,) = self.store.database.transact(
            [lambda: self.store.outbox.append(self.key, MESH, lane, messages, stamp, settle=False)]
        )
        if isinstance(result, Exception):
            raise result


def waiting_of(source: Source, numbers: Iterable[int]) -> tuple[Stream, list[Waiting]]:
    """The packs of the newest stream for the hub that hold these numbers and wait."""
    outbox = source.store.outbox
    streams = [owed.stream for owed in outbox.owed() if owed.stream.audience == LANE[0]]
    stream = max(streams, key=lambda stream: stream.epoch)
    wanted = set(numbers)
    packs = [each for each in outbox.waiting(stream) if each.gone is None]
    return stream, [each for each in packs if wanted.intersection(range(each.first, each.last + 1))]


def bury(
    source: Source, numbers: Iterable[int], reason: Reason = Reason.DROPPED, *, found: list[int] | None = None
) -> int:
    """Bury the packs with these numbers; how many numbers went, and into `found` which."""
    if not source.store.outbox.owed():
        return 0
    stream, victims = waiting_of(source, numbers)
    outbox = source.store.outbox
    (gone,) = source.store.database.transact([lambda: outbox.bury(stream, victims, reason, source.key, MESH)])
    if isinstance(gone, Exception):
        raise gone
    assert isinstance(gone, int)
    if found is not None:
        found += [seq for each in victims for seq in range(each.first, each.last + 1)]
    return gone


def values(store: Store) -> list[object]:
    """The plain values in a store's journal, in order of delivery."""
    found = []
    for entry in store.packs.read(0, 1_000_000):
        for _, item in entry.pack.messages():
            if isinstance(item, Message) and isinstance(item.payload, Data):
                found.append(item.payload.content)
    return found


class World:
    """One source, one receiver, and what flies between them."""

    def __init__(self, wire: Wire, *, seed: int = 1, budget: int = DATAGRAM_BUDGET, most: int = 64) -> None:
        self.random = random.Random(seed)
        self.wire = wire
        self.now = 0.0
        self.source = Source(KeyPair.from_seed(bytes(32)))
        self.hub = Store(":memory:")
        self.budget = budget
        self.most = most
        self.duplicates = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._loaded: dict[Stream, int] = {}
        self.reconnect()

    def reconnect(self) -> None:
        """A new session: a new courier, what flew is gone, both say what they have."""
        self._events.clear()
        self._loaded.clear()
        self.courier = Courier(self.budget, Window(most=self.most))
        offers = [Offer(owed.stream, owed.first, owed.last) for owed in self.source.store.outbox.owed()]
        (receipts,) = self.hub.database.transact(
            [lambda: self.hub.journal.declare(self.source.key.kid, offers, 0)]
        )
        assert isinstance(receipts, list)
        self._settle(self.courier.on_receipts(receipts))

    def run(self, seconds: float) -> None:
        """Let time pass until everything is settled, `seconds` at most."""
        end = self.now + seconds
        while self.now < end and (self.source.store.outbox.owed() or self._events):
            self._feed()
            for shipment in self.courier.poll(self.now):
                body = encode_ship(self.courier.parcels(shipment, self.now))
                self._fly(body, partial(self._arrive, shipment.number))
            times = [
                t
                for t in (self.courier.timer(), self._events[0][0] if self._events else None)
                if t is not None
            ]
            if not times:
                return
            self.now = max(self.now, min(times))
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            self.courier.on_timer(self.now)

    def _feed(self) -> None:
        for owed in self.source.store.outbox.owed():
            room = self.courier.room(lane_of(owed.stream))
            if room:
                after = max(self._loaded.get(owed.stream, 0), owed.first - 1)
                loads = self.source.store.outbox.take(
                    owed.stream, after, room, Stamp(1000, None, None), self.now
                )
                self.courier.add(loads)
                if loads:
                    self._loaded[owed.stream] = loads[-1].last

    def _fly(self, data: bytes, land: Callable[[bytes], None]) -> None:
        for _ in range(2 if self.random.random() < self.wire.duplicate else 1):
            if self.random.random() < self.wire.loss:
                continue
            if self.random.random() < self.wire.corrupt:
                continue  # OSCORE drops what was altered, so to the courier it is a loss
            at = self.now + self.wire.delay + self.random.random() * self.wire.spread
            self._count += 1
            heapq.heappush(self._events, (at, self._count, lambda: land(data)))

    def _arrive(self, number: int, data: bytes) -> None:
        batch = []
        for parcel in decode_ship(data):
            batch.append(Incoming(self._open(parcel.pack), parcel.age_ms))
        (intake,) = self.hub.database.transact([lambda: self.hub.journal.take_in(batch, 0)])
        if isinstance(intake, Invalid):
            raise intake
        self.duplicates += intake.verdicts.get(Verdict.DUPLICATE, 0)  # type: ignore[attr-defined]
        answer = encode_answer(Answer(tuple(intake.receipts)))  # type: ignore[attr-defined]
        self._fly(answer, lambda back: self._back(number, back))

    def _open(self, data: bytes) -> Sealed:
        public = self.source.key.public
        return unseal_tombstone(data, public, MESH) if is_tombstone(data) else unseal(data, public, MESH)

    def _back(self, number: int, data: bytes) -> None:
        self._settle(self.courier.on_answer(number, decode_answer(data), self.now))

    def _settle(self, settled: Iterable[Settled]) -> None:
        for item in settled:
            self.source.store.outbox.settle(item)
