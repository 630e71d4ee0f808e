"""The packs of one stream that are owed, as columns of numbers: about 60 bytes a pack, however many wait.

An object for each would be 230 bytes, and a queue that fills for weeks is the rule and not the exception here.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import overload

from kos_edge.klp.pack import Reason as Removal
from kos_edge.store.owed import Stamp, Standing, Topics, Waiting, age_of

_NONE = -1  # in a column where a number may be missing


class Queued(Sequence[Waiting]):
    """In the order of their numbers. What is read is a copy; places count from the oldest that still waits.

    Taking out from the front, as receipts do, costs the same however many wait behind.
    """

    __slots__ = ("_at", "_first", "_gone", "_id", "_last", "_size", "_start", "_topics", "_ttl", "_uptime")

    def __init__(self, packs: Iterable[Waiting] = ()) -> None:
        self._id, self._first, self._last = array("q"), array("q"), array("q")
        self._size, self._at, self._uptime = array("q"), array("q"), array("q")
        self._ttl, self._gone = array("q"), array("b")
        self._topics: dict[int, Topics] = {}
        self._start = 0  # what is before it was taken out
        for waiting in packs:
            self.append(waiting)

    def __len__(self) -> int:
        return len(self._id) - self._start

    @overload
    def __getitem__(self, place: int) -> Waiting: ...
    @overload
    def __getitem__(self, place: slice) -> list[Waiting]: ...
    def __getitem__(self, place: int | slice) -> Waiting | list[Waiting]:
        if isinstance(place, slice):
            return [self._read(self._start + each) for each in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        return self._read(self._start + place)

    def __iter__(self) -> Iterator[Waiting]:
        return map(self._read, range(self._start, len(self._id)))

    def _read(self, at: int) -> Waiting:
        ident, ttl, uptime, gone = self._id[at], self._ttl[at], self._uptime[at], self._gone[at]
        return Waiting(
            ident,
            self._first[at],
            self._last[at],
            self._size[at],
            self._at[at],
            None if ttl == _NONE else ttl,
            None if uptime == _NONE else uptime,
            self._topics.get(ident, ()),
            Removal(gone) if gone else None,
        )

    def after(self, number: int) -> int:
        """The place of the first that ends beyond the number."""
        return bisect_right(self._last, number, self._start) - self._start

    def find(self, waiting: Waiting) -> int | None:
        """The place of this one; None where it does not wait here any more."""
        place = self.after(waiting.first - 1)
        return place if place < len(self) and self._id[self._start + place] == waiting.id else None

    def adjacent(self, place: int) -> bool:
        """Whether the numbers at this place follow those before it: of a fresh-first stream some may be settled."""
        at = self._start + place
        return self._last[at - 1] + 1 == self._first[at]

    def runs(self, victims: Iterable[Waiting]) -> list[tuple[int, int]]:
        """Where those of the `victims` that still wait stand side by side, start and end, the last first."""
        places = [place for place in map(self.find, victims) if place is not None]
        runs: list[tuple[int, int]] = []
        for place in sorted(places, reverse=True):
            if self._gone[self._start + place]:
                continue
            if runs and runs[-1][0] == place + 1 and self.adjacent(place + 1):
                runs[-1] = (place, runs[-1][1])
            else:
                runs.append((place, place + 1))
        return runs

    def in_order(self) -> Queued:
        """The same in the order of their numbers, where they were appended in another."""
        first = self._first
        if all(first[at - 1] <= first[at] for at in range(self._start + 1, len(first))):
            return self
        return Queued(sorted(self, key=lambda waiting: waiting.first))

    def count_into(self, standing: Standing) -> None:
        """Add what waits here."""
        columns = zip(self._id, self._first, self._last, self._size, self._at, self._gone, strict=True)
        for ident, first, last, size, at_ms, gone in islice(columns, self._start, None):
            standing.bytes += size
            if at_ms and (standing.oldest_at is None or at_ms < standing.oldest_at):
                standing.oldest_at = at_ms
            if not gone:
                standing.messages += last - first + 1
                standing.oldest = ident if standing.oldest is None else min(ident, standing.oldest)
            elif gone == Removal.DROPPED:
                standing.dropped += last - first + 1
            elif gone == Removal.EXPIRED:
                standing.expired += last - first + 1

    def outlived(self, now: Stamp) -> Iterator[Waiting]:
        """Those of which the message with the shortest ttl has outlived it, as far as their age is known."""
        for at in range(self._start, len(self._id)):
            ttl = self._ttl[at]
            if ttl == _NONE or self._gone[at]:
                continue
            uptime = self._uptime[at]
            age_ms = age_of(now, self._at[at], None if uptime == _NONE else uptime)
            if age_ms is not None and age_ms >= ttl * 1000:
                yield self._read(at)

    # -- changing

    def append(self, waiting: Waiting) -> None:
        """What comes next."""
        self._put(len(self._id), waiting)

    def take_out(self, start: int, end: int) -> list[Waiting]:
        """Those at the places from `start` up to `end`, which wait no more."""
        taken = self[start:end]
        for waiting in taken if self._topics else ():
            self._topics.pop(waiting.id, None)
        if start:
            self._cut(self._start + start, self._start + end)
        else:
            self._start += len(taken)
            if 2 * self._start > len(self._id):  # each is moved once at most for one that goes
                self._cut(0, self._start)
                self._start = 0
        return taken

    def replace(self, start: int, end: int, waiting: Waiting) -> None:
        """This one in the place of those from `start` up to `end`."""
        for each in self[start:end]:
            self._topics.pop(each.id, None)
        self._cut(self._start + start, self._start + end)
        self._put(self._start + start, waiting)

    def _put(self, at: int, waiting: Waiting) -> None:
        ttl, uptime = waiting.ttl_s, waiting.uptime_ms
        self._id.insert(at, waiting.id)
        self._first.insert(at, waiting.first)
        self._last.insert(at, waiting.last)
        self._size.insert(at, waiting.size)
        self._at.insert(at, waiting.at_ms)
        self._ttl.insert(at, _NONE if ttl is None else ttl)
        self._uptime.insert(at, _NONE if uptime is None else uptime)
        self._gone.insert(at, waiting.gone or 0)
        if waiting.topics:
            self._topics[waiting.id] = waiting.topics

    def _cut(self, start: int, end: int) -> None:
        columns = (
            self._id,
            self._first,
            self._last,
            self._size,
            self._at,
            self._ttl,
            self._uptime,
            self._gone,
        )
        for column in columns:
            del column[start:end]
