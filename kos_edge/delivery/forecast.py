"""How fast the queue fills and drains, and so when it is full or empty.

A machine. It is given running totals of what came into the outbox and what was settled, lane by lane, every second,
and measures rates over the last minute. What leaves is measured only since it began to: an outage says nothing of the
link that follows it. Each rate has an uncertainty, from how much it changed within the window; where nothing can be
said, the reason is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf, sqrt

from kos_edge.delivery.load import LaneKey
from kos_edge.klp.stream import Priority

EVERY_S = 1.0  # between two samples
WINDOW_S = 60.0  # over which a rate is measured: longer than a burst, shorter than the weather of a link
LEAST_S = 3.0  # of a window that says anything
STALL_S = 5.0  # without anything leaving: receipts are written every 0.5 s, a retransmission takes up to 3 s
PARTS = 6  # of a window, whose rates are compared for the uncertainty
KEPT = round(WINDOW_S / EVERY_S) + 1


@dataclass(slots=True)
class Flow:
    """Running totals of one lane."""

    messages_in: int = 0
    bytes_in: int = 0
    messages_out: int = 0
    bytes_out: int = 0

    def __add__(self, other: Flow) -> Flow:
        return Flow(
            self.messages_in + other.messages_in,
            self.bytes_in + other.bytes_in,
            self.messages_out + other.messages_out,
            self.bytes_out + other.bytes_out,
        )


@dataclass(frozen=True, slots=True)
class Rate:
    """Something a second, give or take `uncertainty`."""

    value: float
    uncertainty: float


@dataclass(frozen=True, slots=True)
class Rates:
    """What comes in and goes out, a second; None where too little was seen."""

    messages_in: Rate | None = None
    bytes_in: Rate | None = None
    messages_out: Rate | None = None
    bytes_out: Rate | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds from now, and from when to when it may be (`high` None: perhaps never). None: `why` says why not."""

    seconds: float | None
    low: float | None = None
    high: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    lanes: Mapping[LaneKey, Flow]
    total: Flow

    def of(self, priority: Priority | None) -> Flow:
        """The totals of one priority, or of all."""
        if priority is None:
            return self.total
        return sum((flow for lane, flow in self.lanes.items() if lane[1].priority is priority), Flow())


@dataclass(slots=True)
class Forecast:
    """The last minute of one outbox."""

    _samples: deque[_Sample] = field(default_factory=lambda: deque(maxlen=KEPT))
    _left_from: float | None = None
    """Since when something leaves without a stall."""
    _left_at: float = -inf

    def sample(self, now: float, lanes: Mapping[LaneKey, Flow]) -> None:
        """Take the running totals of now."""
        total = sum(lanes.values(), Flow())
        before = self._samples[-1] if self._samples else None
        if before is not None and total.bytes_out > before.total.bytes_out:
            if self._left_from is None or now - self._left_at > STALL_S:
                self._left_from = now  # what came before is the end of an outage, and was settled at once
            self._left_at = now
        self._samples.append(_Sample(now, {lane: Flow() + flow for lane, flow in lanes.items()}, total))

    @property
    def measured_s(self) -> float:
        """How long it has watched, a window at most."""
        return self._samples[-1].at - self._samples[0].at if self._samples else 0.0

    def lanes(self) -> dict[LaneKey, Rates]:
        """The rates of each lane."""
        seen = self._samples[-1].lanes if self._samples else {}
        return {lane: self._rates(lane) for lane in seen}

    def total(self) -> Rates:
        """The rates of all lanes together."""
        return self._rates(None)

    def drain(self, waiting: int) -> Span:
        """Until `waiting` bytes are gone, if all goes on as it does now."""
        if not waiting:
            return Span(0.0, 0.0, 0.0)
        if self.measured_s < LEAST_S:
            return Span(None, why="not known yet: measured too short")
        if not self._leaves():
            return Span(None, why="nothing leaves now")
        net = _rate([(each.at, each.total.bytes_out - each.total.bytes_in) for each in self._leaving()])
        if net is None:
            return Span(None, why="not known yet: it has just begun to leave")
        return _until(waiting, net, "as much comes in as leaves")

    def full(self, room: int, *, of: str, priority: Priority | None = None) -> Span:
        """Until there is no room for `room` more of "messages" or "bytes", of one priority or of all."""
        if room <= 0:
            return Span(0.0, 0.0, 0.0)
        if self.measured_s < LEAST_S:
            return Span(None, why="not known yet: measured too short")
        samples = self._leaving() if self._leaves() else self._samples
        totals = [(each.at, each.of(priority)) for each in samples]
        if of == "messages":
            net = _rate([(at, total.messages_in - total.messages_out) for at, total in totals])
        else:
            net = _rate([(at, total.bytes_in - total.bytes_out) for at, total in totals])
        if net is None:
            return Span(None, why="not known yet: it has just begun to leave")
        return _until(room, net, "not while as much leaves as comes in")

    def _leaving(self) -> list[_Sample]:
        """Since something leaves; both ways are measured over the same time, for a burst before it is over."""
        since = inf if self._left_from is None else self._left_from
        return [each for each in self._samples if each.at >= since] if self._leaves() else []

    def _leaves(self) -> bool:
        return bool(self._samples) and self._samples[-1].at - self._left_at <= STALL_S

    def _rates(self, lane: LaneKey | None) -> Rates:
        def points(samples: Iterable[_Sample]) -> list[tuple[float, Flow]]:
            return [
                (each.at, each.total if lane is None else each.lanes.get(lane, Flow())) for each in samples
            ]

        seen, leaving = points(self._samples), points(self._leaving())
        return Rates(
            _rate([(at, flow.messages_in) for at, flow in seen]),
            _rate([(at, flow.bytes_in) for at, flow in seen]),
            _rate([(at, flow.messages_out) for at, flow in leaving]),
            _rate([(at, flow.bytes_out) for at, flow in leaving]),
        )


def _rate(points: list[tuple[float, int]]) -> Rate | None:
    """The slope over the window; its uncertainty is the standard error of those of its parts."""
    if len(points) < 2 or points[-1][0] - points[0][0] < LEAST_S:
        return None
    value = _slope(points[0], points[-1])
    step = max(1, (len(points) - 1) // PARTS)
    marks = points[::step]
    parts = [_slope(a, b) for a, b in pairwise(marks)]
    if len(parts) < 2:
        return Rate(value, value)
    mean = sum(parts) / len(parts)
    variance = sum((part - mean) ** 2 for part in parts) / (len(parts) - 1)
    return Rate(value, sqrt(variance / len(parts)))


def _slope(a: tuple[float, int], b: tuple[float, int]) -> float:
    return (b[1] - a[1]) / (b[0] - a[0])


def _until(amount: int, net: Rate, never: str) -> Span:
    """When so much has gone."""
    if net.value <= 0:
        return Span(None, why=never)
    doubt = 2 * net.uncertainty  # 19 times in 20
    latest = amount / (net.value - doubt) if net.value > doubt else None
    return Span(amount / net.value, amount / (net.value + doubt), latest)
