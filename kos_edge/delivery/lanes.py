"""What waits in a courier, lane by lane: a bounded queue each, so that no backlog crowds another out of memory."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from kos_edge.delivery.load import LaneKey, Load, lane_of
from kos_edge.klp.pack import Stream

BUFFERED = 256 * 1024  # bytes of one lane in memory, waiting and in flight, whatever the backlog


@dataclass(slots=True)
class InOrder:
    """As they were added."""

    _loads: deque[Load] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self._loads)

    def add(self, load: Load) -> None:
        self._loads.append(load)

    def put_back(self, load: Load) -> None:
        self._loads.appendleft(load)

    def head(self) -> Load:
        return self._loads[0]

    def pop(self) -> Load:
        return self._loads.popleft()


@dataclass(slots=True)
class FreshFirst:
    """The newest first, by epoch and number; what comes later may overtake."""

    _loads: list[Load] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._loads)

    def add(self, load: Load) -> None:
        insort(self._loads, load, key=_age)

    put_back = add

    def head(self) -> Load:
        return self._loads[-1]

    def pop(self) -> Load:
        return self._loads.pop()

    def pop_oldest(self) -> Load:
        """Take out what would go last."""
        return self._loads.pop(0)


@dataclass(slots=True)
class Lanes:
    """Queues of loads by lane, and what of each is in memory until `forget`."""

    _queues: dict[LaneKey, InOrder | FreshFirst] = field(default_factory=dict)
    _bytes: dict[LaneKey, int] = field(default_factory=dict)
    _fresh: set[tuple[Stream, int]] = field(default_factory=set)

    @property
    def waiting(self) -> bool:
        """Whether anything waits to be sent."""
        return bool(self._queues)

    @property
    def most(self) -> int:
        """The bytes of the lane that has most in memory."""
        return max(self._bytes.values(), default=0)

    def active(self) -> Iterable[LaneKey]:
        """The lanes in which something waits, as they are now."""
        return tuple(self._queues)

    def room(self, lane: LaneKey) -> int:
        """Bytes of further loads that the lane wants now; 0 when it has enough."""
        return max(0, BUFFERED - self._bytes.get(lane, 0))

    def has(self, stream: Stream, last: int) -> bool:
        """Whether the load of a fresh-first stream that ends with this number is in memory."""
        return (stream, last) in self._fresh

    def add(self, load: Load) -> None:
        """Take a new load."""
        lane = lane_of(load.stream)
        self._queue(lane).add(load)
        self._bytes[lane] = self._bytes.get(lane, 0) + len(load.pack)
        if load.stream.cls.fresh:
            self._fresh.add((load.stream, load.last))

    def evict(self, lane: LaneKey) -> list[Load]:
        """Let go of the oldest that wait in a fresh-first lane beyond its bound."""
        gone: list[Load] = []
        queue = self._queues.get(lane)
        while isinstance(queue, FreshFirst) and len(queue) > 1 and self._bytes[lane] > BUFFERED:
            load = queue.pop_oldest()
            self.forget(load)
            gone.append(load)
        return gone

    def put_back(self, load: Load) -> None:
        """A load that was popped has to go again, before what waits behind it."""
        self._queue(lane_of(load.stream)).put_back(load)

    def head(self, lane: LaneKey) -> Load | None:
        """What this lane would send next."""
        queue = self._queues.get(lane)
        return queue.head() if queue else None

    def pop(self, lane: LaneKey) -> None:
        """The head is on its way; it counts until it is forgotten."""
        queue = self._queues[lane]
        queue.pop()
        if not queue:
            del self._queues[lane]

    def forget(self, load: Load) -> None:
        """A load has arrived, or is not wanted any more."""
        lane = lane_of(load.stream)
        left = self._bytes[lane] - len(load.pack)
        if left:
            self._bytes[lane] = left
        else:
            del self._bytes[lane]
        self._fresh.discard((load.stream, load.last))

    def _queue(self, lane: LaneKey) -> InOrder | FreshFirst:
        queue = self._queues.get(lane)
        if queue is None:
            queue = self._queues[lane] = FreshFirst() if lane[1].fresh and lane[1].durable else InOrder()
        return queue


def _age(load: Load) -> tuple[int, int]:
    return (load.stream.epoch, load.first)
