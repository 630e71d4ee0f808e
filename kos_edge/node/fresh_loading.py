"""What a link takes next of a fresh-first lane: whatever is new, and then the backlog, from the newest downwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from kos_edge.delivery.load import Load
from kos_edge.klp.pack import Stream
from kos_edge.store.outbox import Outbox, Owed, Stamp

NEWS_BYTES = 32 * 1024  # of what is new is taken even where a lane has no room: its oldest make room then


@dataclass(slots=True)
class FreshLoading:
    """Of each stream everything from `low` to `high` was taken; `known` tells what is still on its way."""

    known: Callable[[Stream, int], bool]
    _taken: dict[Stream, tuple[int, int]] = field(default_factory=dict)

    def forget(self, stream: Stream) -> None:
        """Begin anew: what is owed of the stream was compared."""
        self._taken.pop(stream, None)

    def back(self, load: Load) -> None:
        """A load had to make room."""
        low, high = self._taken.get(load.stream, (0, 0))
        self._taken[load.stream] = max(low, load.last + 1), high

    def gather(
        self, outbox: Outbox, lane: Sequence[Owed], room: int, now: Stamp, at: float
    ) -> Iterable[Load]:
        """What comes next of one lane's streams, about `room` bytes of it."""
        found: list[Load] = []

        def take(stream: Stream, above: int, below: int, limit: int) -> int:
            loads, below = outbox.take_newest(stream, above, below, limit, now, at, self.known)
            found.extend(loads)
            return below

        for owed in sorted(lane, key=lambda owed: -owed.stream.epoch):
            low, high = self._taken.get(owed.stream, (owed.last + 1, owed.last))
            left = room - sum(len(load.pack) for load in found)
            if owed.last > high:
                begun = take(owed.stream, high, owed.last + 1, max(left, NEWS_BYTES))
                low = low if begun == high + 1 else begun
                left = room - sum(len(load.pack) for load in found)
            if left > 0 and low > owed.first:
                low = take(owed.stream, owed.first - 1, low, left)
            self._taken[owed.stream] = low, max(high, owed.last)
        return found
