"""What a receiver holds of one source's fresh-first streams, and what it does with the next pack.

Nothing waits for anything: a pack is handed on when it comes, whatever is missing before it, across epochs too. What
is held is kept as runs of numbers, a bounded count of them, for ever: that is the duplicate filter. A source that
sends the newest first and goes downwards leaves one run, and one hole for each pack that is on its way again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from kos_edge.delivery.position import KEPT_EPOCHS, Verdict
from kos_edge.delivery.spans import Run, Spans
from kos_edge.delivery.wire import MAX_RANGES
from kos_edge.klp.pack import Boundary, Link
from kos_edge.klp.tombstone import Tombstone


@dataclass(slots=True)
class FreshLane:
    """The epochs of one fresh-first (source, audience, class)."""

    epochs: dict[int, Spans] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)  # their source has no more of them
    floor: int = 0  # this epoch and all before it are over: nothing of them can come any more

    def spans(self, epoch: int) -> Spans:
        """What is held of `epoch`, nothing when it is new."""
        return self.epochs.setdefault(epoch, Spans())

    def declare(self, epoch: int, first: int) -> bool:
        """The source has nothing before `first` any more; True where that is news."""
        spans = self.epochs.get(epoch) or Spans()
        if epoch <= self.floor or spans.held >= first - 1:
            return False
        self.spans(epoch).add(Run(1, first - 1))
        return True

    def close(self, offered: Collection[int]) -> set[int]:
        """Of epochs that are older than the newest of those offered, and not among them, nothing comes any more.

        An epoch that is offered again is open again. Returns the epochs of which either is news.
        """
        newest = max(offered, default=0)
        known = {epoch for epoch in self.epochs if epoch <= newest}
        news = {epoch for epoch in known if (epoch in offered) == (epoch in self.closed)}
        self.closed ^= news
        return news

    def is_late(self, epoch: int, last: int) -> bool:
        """Whether something newer of the lane has come before."""
        return any(
            spans.top is not None and (other > epoch or (other == epoch and spans.top.last > last))
            for other, spans in self.epochs.items()
        )

    def judge(self, epoch: int, run: Run) -> Verdict:
        """What to do with a verified pack: its numbers, what it names as before it, its chain hash. Changes nothing."""
        if epoch <= self.floor:
            return Verdict.OVER
        spans = self.epochs.get(epoch) or Spans()
        there = spans.over(run.first)
        if there is not None and there.last >= run.last:
            other = (there.last == run.last and _differ(there.hash, run.hash)) or (
                there.first == run.first and _differ(there.prev, run.prev)
            )
            return Verdict.FORK if other else Verdict.DUPLICATE
        if spans.gaps(run.first, run.last) != [(run.first, run.last)]:
            return Verdict.FORK  # a pack's bounds never change
        if not self._fits(epoch, spans, run):
            return Verdict.FORK
        return self._room(spans, run.first, run.last)

    def judge_tombstone(self, tombstone: Tombstone) -> Verdict:
        """The same for a tombstone: of its run only the gaps count."""
        first, last = tombstone.first, tombstone.last
        if tombstone.stream.epoch <= self.floor:
            return Verdict.OVER
        spans = self.epochs.get(tombstone.stream.epoch) or Spans()
        there = spans.over(last)
        if there is not None and there.last == last and _differ(there.hash, tombstone.chain_hash):
            return Verdict.FORK
        gaps = spans.gaps(first, last)
        if not gaps:
            return Verdict.DUPLICATE
        whole = Run(first, last, tombstone.prev, tombstone.chain_hash)
        if gaps == [(first, last)] and not self._fits(tombstone.stream.epoch, spans, whole):
            return Verdict.FORK
        return self._room(spans, first, last)

    def take(self, epoch: int, run: Run) -> None:
        """It is in the journal."""
        self.spans(epoch).add(run)

    def over(self) -> list[int]:
        """The oldest epochs that are over, all but the newest `KEPT_EPOCHS`: they may be forgotten from the front.

        An epoch is complete when the first pack of the next names its end and all up to there is held, or when its
        source has said that it has no more of it: the rest went to another receiver.
        """
        epochs = sorted(self.epochs)
        oldest: list[int] = []
        for epoch, following in pairwise(epochs[: 1 - KEPT_EPOCHS]):
            if epoch not in self.closed and not self._ends_before(epoch, following):
                break
            oldest.append(epoch)
        return oldest

    def _ends_before(self, epoch: int, following: int) -> bool:
        runs = self.epochs[following].runs
        end = runs[0].prev if runs and runs[0].first == 1 else None
        return isinstance(end, Boundary) and end.epoch == epoch and self.epochs[epoch].held == end.seq

    def forget(self, epochs: Iterable[int]) -> None:
        """These are over, and all before them."""
        for epoch in epochs:
            self.epochs.pop(epoch, None)
            self.closed.discard(epoch)
            self.floor = max(self.floor, epoch)

    def _room(self, spans: Spans, first: int, last: int) -> Verdict:
        return Verdict.NOT_NOW if len(spans.runs) >= MAX_RANGES and spans.apart(first, last) else Verdict.NEXT

    def _fits(self, epoch: int, spans: Spans, run: Run) -> bool:
        """Whether its neighbours, as far as they are held, say the same."""
        below = spans.over(run.first - 1)
        above = spans.over(run.last + 1)
        if isinstance(run.prev, Boundary):
            if run.first != 1:
                return False
            before = self.epochs.get(run.prev.epoch)
            end = before.over(run.prev.seq) if before is not None else None
            return end is None or end.last != run.prev.seq or not _differ(end.hash, run.prev.chain_hash)
        if below is not None and _differ(below.hash, run.prev):
            return False
        return above is None or not _differ(above.prev, run.hash)


def _differ(one: Link, other: Link) -> bool:
    """Whether both are known and not the same."""
    return one is not None and other is not None and one != other
