"""Runs of sequence numbers: what is held, or settled, of a stream that does not come in order.

Runs that touch become one. Each remembers what its lowest pack names as before it and the chain hash of its highest,
so that whatever comes to lie beside it can be told from a fork.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from kos_edge.klp.pack import Link


@dataclass(frozen=True, slots=True)
class Run:
    """Numbers `first` to `last`. `prev` and `hash` are None where nobody knows or needs them."""

    first: int
    last: int
    prev: Link = None
    hash: bytes | None = None


@dataclass(slots=True)
class Spans:
    """Runs in ascending order, with a gap between each two."""

    runs: list[Run] = field(default_factory=list)

    @property
    def held(self) -> int:
        """Up to here there is no gap."""
        return self.runs[0].last if self.runs and self.runs[0].first == 1 else 0

    @property
    def count(self) -> int:
        """How many numbers are there."""
        return sum(run.last - run.first + 1 for run in self.runs)

    @property
    def beyond(self) -> tuple[Run, ...]:
        """The runs above `held`."""
        return tuple(self.runs[1:] if self.held else self.runs)

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The same as pairs."""
        return tuple((run.first, run.last) for run in self.beyond)

    @property
    def top(self) -> Run | None:
        """The highest run."""
        return self.runs[-1] if self.runs else None

    def over(self, number: int) -> Run | None:
        """The run that has this number."""
        place = self._after(number) - 1
        return self.runs[place] if place >= 0 and self.runs[place].last >= number else None

    def covers(self, first: int, last: int) -> bool:
        """Whether all of `first` to `last` is there."""
        run = self.over(first)
        return run is not None and run.last >= last

    def gaps(self, first: int, last: int) -> list[tuple[int, int]]:
        """What is not there of `first` to `last`."""
        found: list[tuple[int, int]] = []
        start = first
        for run in self.runs:
            if run.last < start:
                continue
            if run.first > last:
                break
            if start < run.first:
                found.append((start, run.first - 1))
            start = run.last + 1
        if start <= last:
            found.append((start, last))
        return found

    def apart(self, first: int, last: int) -> bool:
        """Whether `first` to `last` would be one run more: no other has some of it, or stands right beside it."""
        return self.gaps(first - 1, last + 1) == [(first - 1, last + 1)]

    def add(self, run: Run) -> Run:
        """Put a run in; what it covers or touches becomes part of it. The run that this makes."""
        low = self._after(run.first - 1)
        if low and self.runs[low - 1].last >= run.first - 1:
            low -= 1
        high = self._after(run.last + 1)
        joined = self.runs[low:high]
        if joined and joined[0].first < run.first:
            run = replace(run, first=joined[0].first, prev=joined[0].prev)
        if joined and joined[-1].last > run.last:
            run = replace(run, last=joined[-1].last, hash=joined[-1].hash)
        self.runs[low:high] = [run]
        return run

    def _after(self, number: int) -> int:
        return bisect_right(self.runs, number, key=lambda run: run.first)


def joined(ranges: Iterable[tuple[int, int]]) -> Spans:
    """Spans of plain ranges."""
    spans = Spans()
    for first, last in ranges:
        spans.add(Run(first, last))
    return spans
