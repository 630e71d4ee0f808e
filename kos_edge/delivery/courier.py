"""The courier: brings the packs that are owed to one peer across one session, and repairs what is lost.

A machine. It is handed parcels in the order of their streams, each lane (audience and class) with a bounded queue of
its own, says which shipments to send now (`fair` chooses among the lanes), is told what came back, and says what the
source may let go of. It never sends more than its window, takes a shipment for lost when
three later ones were answered or when its timer ran out, and sends it again (the transport protects it anew).
Receipts are cumulative: a lost answer is repaired by the next.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from kos_edge.delivery.fair import Fair
from kos_edge.delivery.lanes import Lanes
from kos_edge.delivery.load import LaneKey, Load, lane_of
from kos_edge.delivery.portion import Portion
from kos_edge.delivery.position import AHEAD_LIMIT
from kos_edge.delivery.receipts import Settled
from kos_edge.delivery.spans import joined
from kos_edge.delivery.window import Window
from kos_edge.delivery.wire import Answer, Parcel, Receipt
from kos_edge.klp.pack import Stream

DATAGRAM_BUDGET = 1000  # bytes of packs in one datagram; with OSCORE and CoAP it stays under 1,152
STREAM_BUDGET = 64_000  # bytes of packs in one request over TCP
REORDER_THRESHOLD = 3  # later answers before an unanswered shipment counts as lost; RFC 9002 6.1.1
LARGE_STRIKES = 4  # a large shipment that failed has waited for several retransmission times
UNTAKEN_LEAST_S = (
    0.1  # before a pack that was answered but not taken is sent again; doubled each time, for a pack
)
UNTAKEN_MOST_S = (
    3.0  # that the peer never takes must not fill the link: RFC 8085 3.1.3's rate without measurement
)
UNTAKEN_OFTEN = 6  # times, the last at the longest pause: the peer may wait for what it will never get
RANGES_KEPT = 256  # of one fresh-first stream; a receiver names 64
WAIT_MOST_S = 60.0  # the longest rest that a peer may ask for


@dataclass(slots=True)
class Shipment:
    """One request with packs."""

    number: int
    loads: list[Load]
    sent_at: float
    later_answers: int = 0
    large: bool = False
    """One load beyond the budget: it goes in blocks, for as long as the transport says; it measures nothing."""


@dataclass(slots=True)
class _Untaken:
    """A load that was answered `times` times and not taken; `load` is None while it is on its way again."""

    load: Load | None
    times: int
    due: float


@dataclass(slots=True)
class Counters:
    """What the courier did, for status and metrics."""

    shipments: int = 0
    again: int = 0
    packs: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Courier:
    """Shipments over one session. `budget` is the bytes of packs in one request."""

    budget: int
    window: Window
    fair: Fair = field(default_factory=Fair)
    counters: Counters = field(default_factory=Counters)
    _lanes: Lanes = field(default_factory=Lanes)
    _untaken: dict[tuple[Stream, int], _Untaken] = field(default_factory=dict)
    _flying: OrderedDict[int, Shipment] = field(default_factory=OrderedDict)
    _held: dict[Stream, Receipt] = field(default_factory=dict)
    _floor: dict[Stream, int] = field(default_factory=dict)
    _portion: Portion = field(init=False)
    _number: int = 0
    _pause_until: float = 0.0
    _strikes: int = 0

    def __post_init__(self) -> None:
        self._portion = Portion(self.budget)

    # -- what it is given

    def room(self, lane: LaneKey) -> int:
        """Bytes of further loads of a lane that it wants now; 0 when it has enough."""
        return self._lanes.room(lane)

    def has(self, stream: Stream, last: int) -> bool:
        """Whether the load of a fresh-first stream that ends with this number is in memory."""
        return self._lanes.has(stream, last)

    def add(self, loads: Iterable[Load]) -> list[Load]:
        """Take loads; those of one stream must come in order, but of fresh-first ones.

        What has no room any more, the oldest of a fresh-first lane, comes back: load it again when there is.
        """
        lanes: set[LaneKey] = set()
        for load in loads:
            if self._is_held(load) or (load.stream.cls.fresh and self.has(load.stream, load.last)):
                continue
            self._floor.setdefault(load.stream, load.first - 1)
            self._lanes.add(load)
            lanes.add(lane_of(load.stream))
        return [load for lane in lanes for load in self._lanes.evict(lane)]

    def idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not (self._lanes.waiting or self._flying or self._untaken)

    @property
    def is_refused(self) -> bool:
        """Whether the peer has answered something again and again and never taken it."""
        return any(untaken.times >= UNTAKEN_OFTEN for untaken in self._untaken.values())

    @property
    def most_buffered(self) -> int:
        """Bytes in memory of the lane that has most of them."""
        return self._lanes.most

    @property
    def in_flight(self) -> int:
        """Shipments without an answer yet."""
        return len(self._flying)

    @property
    def has_large(self) -> bool:
        """Whether something under way is beyond the budget of one request."""
        return any(shipment.large for shipment in self._flying.values())

    # -- what to send

    def poll(self, now: float) -> list[Shipment]:
        """The shipments to send now."""
        ready: list[Shipment] = []
        if now < self._pause_until:
            return ready
        self._retry_untaken(now)
        while self._lanes.waiting and self.window.may_send(len(self._flying)):
            loads = self._gather()
            if not loads:
                break
            self._number += 1
            large = len(loads[0].pack) > self.budget
            shipment = Shipment(self._number, loads, now, large=large)
            self._flying[shipment.number] = shipment
            self.window.on_sent()
            self.counters.shipments += 1
            self.counters.packs += len(loads)
            self.counters.bytes += sum(len(load.pack) for load in loads)
            ready.append(shipment)
        return ready

    def _gather(self) -> list[Load]:
        """What goes into one request: from the lanes in turn, as much as fits."""
        loads: list[Load] = []
        size = 0
        blocked: set[LaneKey] = set()
        while heads := self._heads(blocked):
            lane = self.fair.choose({key: len(load.pack) for key, load in heads.items()})
            load = heads[lane]
            length = len(load.pack)
            if loads and size + length + 8 > self._portion.size:
                break
            if self._beyond(load) and (loads or self._flying):
                blocked.add(lane)  # the receiver would not take it yet
                continue
            self._lanes.pop(lane)
            self.fair.sent(lane, length)
            loads.append(load)
            size += length + 8
        return loads

    def _heads(self, blocked: set[LaneKey]) -> dict[LaneKey, Load]:
        """What each lane would send next, what is held by now left out."""
        heads: dict[LaneKey, Load] = {}
        for lane in self._lanes.active():
            while (load := self._lanes.head(lane)) is not None and self._is_held(load):
                self._lanes.pop(lane)
                self._forget(load)
            if load is not None and lane not in blocked:
                heads[lane] = load
        return heads

    def parcels(self, shipment: Shipment, now: float) -> list[Parcel]:
        """The shipment as it goes on the wire, with the age of each pack."""
        return [
            Parcel(
                load.pack, None if load.age_ms is None else load.age_ms + round((now - load.loaded_at) * 1000)
            )
            for load in shipment.loads
        ]

    # -- what came back

    def on_answer(self, number: int, answer: Answer, now: float) -> list[Settled]:
        """The answer to a shipment. What its receipts settle for the first time comes back."""
        shipment = self._flying.pop(number, None)
        if shipment is None:
            return self.on_receipts(answer.receipts)
        self._strikes = 0
        if not shipment.large:
            self.window.on_answer(now - shipment.sent_at, answer.delay_us / 1e6, now)
            self._portion.on_answer(shipment.sent_at, answer.delay_us / 1e6, now)
        settled = self.on_receipts(answer.receipts)
        if answer.wait_ms is not None:
            self._pause_until = now + min(answer.wait_ms / 1000, WAIT_MOST_S)
        for load in shipment.loads:
            if self._is_held(load):
                self._forget(load)
            else:  # answered, but not taken: not now, or its source is not known there yet
                self._put_off(load, now)
        self._count_later(number, now)
        return settled

    def on_receipts(self, receipts: Iterable[Receipt]) -> list[Settled]:
        """Receipts from an answer or from the opening of the session."""
        settled = []
        for receipt in receipts:
            before = self._held.get(receipt.stream)
            if receipt.stream.cls.fresh:
                settled += self._on_fresh(before, receipt)
                continue
            if before is not None and receipt.held < before.held:  # an old answer that was overtaken
                if receipt.refusals:
                    settled.append(Settled(receipt.stream, receipt.held, receipt.refusals, receipt.reach))
                continue
            self._held[receipt.stream] = receipt
            if before is None or receipt.held > before.held or receipt.refusals:
                settled.append(Settled(receipt.stream, receipt.held, receipt.refusals, receipt.reach))
        return settled

    def _on_fresh(self, before: Receipt | None, receipt: Receipt) -> list[Settled]:
        """What a receiver holds of a fresh-first stream it holds for ever: receipts in any order add up."""
        whole = receipt
        if before is not None:
            spans = joined(((1, max(before.held, receipt.held)), *before.ranges, *receipt.ranges))
            whole = replace(receipt, held=spans.held, ranges=spans.ranges[-RANGES_KEPT:])
        self._held[receipt.stream] = whole
        if before == replace(whole, refusals=before.refusals if before else ()) and not receipt.refusals:
            return []
        return [Settled(receipt.stream, whole.held, receipt.refusals, receipt.reach, whole.ranges)]

    def on_failure(self, number: int, now: float) -> None:
        """The transport gave the shipment up."""
        shipment = self._flying.pop(number, None)
        if shipment is not None:
            self._lose(shipment)
            self._strikes += LARGE_STRIKES if shipment.large else 1
            self.window.on_timeout(now)

    def timer(self) -> float | None:
        """When to call `on_timer`, on the clock of `now`."""
        if self._pause_until and (self._lanes.waiting or self._untaken):
            return self._pause_until
        times = [untaken.due for untaken in self._untaken.values() if untaken.load is not None]
        oldest = next((shipment for shipment in self._flying.values() if self._is_timed(shipment)), None)
        if oldest is not None:
            times.append(oldest.sent_at + self.window.rto)
        return min(times, default=None)

    def on_timer(self, now: float) -> list[int]:
        """Take for lost what has waited a whole retransmission time. Returns the numbers of those shipments."""
        if self._pause_until and now >= self._pause_until:
            self._pause_until = 0.0
        expired = [
            s for s in self._flying.values() if s.sent_at + self.window.rto <= now and self._is_timed(s)
        ]
        for shipment in expired:
            del self._flying[shipment.number]
            self._lose(shipment)
        if expired:
            self._strikes += 1
            self._portion.on_timeout(now)
            self.window.on_timeout(now)
        return [shipment.number for shipment in expired]

    def _is_timed(self, shipment: Shipment) -> bool:
        return not (shipment.large or self.window.reliable)

    @property
    def strikes(self) -> int:
        """Timeouts in a row without any answer: the session may be dead."""
        return self._strikes

    def _count_later(self, number: int, now: float) -> None:
        for shipment in list(self._flying.values()):
            if shipment.number > number:
                break
            if all(self._is_held(load) for load in shipment.loads):  # only its answer was lost
                del self._flying[shipment.number]
                for load in shipment.loads:
                    self._forget(load)
                continue
            shipment.later_answers += self._is_timed(shipment)
            if shipment.later_answers >= REORDER_THRESHOLD:
                del self._flying[shipment.number]
                self._lose(shipment)
                self.window.on_loss(now)

    def _put_off(self, load: Load, now: float) -> None:
        untaken = self._untaken.setdefault((load.stream, load.last), _Untaken(None, 0, now))
        untaken.load = load
        untaken.due = now + min(UNTAKEN_LEAST_S * 2**untaken.times, UNTAKEN_MOST_S)
        untaken.times = min(untaken.times + 1, 16)

    def _retry_untaken(self, now: float) -> None:
        due = [each for each in self._untaken.values() if each.load is not None and each.due <= now]
        for untaken in reversed(due):
            assert untaken.load is not None
            self._lanes.put_back(untaken.load)
            untaken.load = None

    def _lose(self, shipment: Shipment) -> None:
        again = [load for load in shipment.loads if not self._is_held(load)]
        for load in shipment.loads:
            if self._is_held(load):
                self._forget(load)
        for load in reversed(again):
            self._lanes.put_back(load)
        self.counters.again += len(again)

    def _position(self, stream: Stream) -> int:
        receipt = self._held.get(stream)
        return max(self._floor.get(stream, 0), receipt.held if receipt else 0)

    def _beyond(self, load: Load) -> bool:
        """Whether the receiver, which waits for what comes before, would not take it yet."""
        return not load.stream.cls.fresh and load.last > self._position(load.stream) + AHEAD_LIMIT

    def _is_held(self, load: Load) -> bool:
        receipt = self._held.get(load.stream)
        return receipt is not None and receipt.covers(load.first, load.last)

    def _forget(self, load: Load) -> None:
        self._untaken.pop((load.stream, load.last), None)
        self._lanes.forget(load)
