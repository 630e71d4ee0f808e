"""What waits in a courier, lane by lane: a bounded queue each, so that no backlog crowds another out of memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from kos_edge.delivery.load import LaneKey, Load, lane_of

BUFFERED = 256 * 1024  # bytes of one lane in memory, waiting and in flight, whatever the backlog


@dataclass(slots=True)
class Lanes:
    """Queues of loads by lane, and how many bytes of each are in memory until `forget`."""

    _queues: dict[LaneKey, deque[Load]] = field(default_factory=dict)
    _bytes: dict[LaneKey, int] = field(default_factory=dict)

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

    def add(self, load: Load) -> None:
        """Take a new load behind the others of its lane."""
        lane = lane_of(load.stream)
        self._queues.setdefault(lane, deque()).append(load)
        self._bytes[lane] = self._bytes.get(lane, 0) + len(load.pack)

    def put_back(self, load: Load) -> None:
        """A load that was popped has to go again, before what waits behind it."""
        self._queues.setdefault(lane_of(load.stream), deque()).appendleft(load)

    def head(self, lane: LaneKey) -> Load | None:
        """What this lane would send next."""
        queue = self._queues.get(lane)
        return queue[0] if queue else None

    def pop(self, lane: LaneKey) -> None:
        """The head is on its way; it counts until it is forgotten."""
        queue = self._queues[lane]
        queue.popleft()
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
