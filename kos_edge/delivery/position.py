"""What a receiver holds of one source's streams, and what it does with the next pack. protocol.md 4 and 6.

A *lane* is (source, audience, class): the epochs of one lane follow each other. Within an epoch packs are held in
order of their sequence numbers; a pack that comes early waits *ahead* of the gap. The first pack of an epoch names
the end of the epoch before it, so the receiver knows whether that one is complete.

A tombstone stands in the place of packs that are gone. Its bounds may grow while it waits at its source, so of its
run only the *gaps* count: what is held already stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import Enum

from kos_edge.delivery.wire import MAX_RANGES
from kos_edge.klp.pack import Boundary, Header, Link
from kos_edge.klp.tombstone import Tombstone

AHEAD_LIMIT = 4096  # sequence numbers beyond `held`; protocol.md 6
OPEN_EPOCHS = 8  # incomplete epochs of one lane; protocol.md 6
KEPT_EPOCHS = 8  # of one lane are remembered for ever; older ones that are over, only by the newest of them


class Verdict(Enum):
    """What to do with a pack."""

    NEXT = "next"  # journal it now
    AHEAD = "ahead"  # keep it beside the journal until the gap is filled
    DUPLICATE = "duplicate"  # held already: answer with the receipt
    NOT_NOW = "not now"  # beyond the bounds: drop it, the sender comes back
    FORK = "fork"  # it contradicts what the same key signed before
    OVER = "over"  # of an epoch that was forgotten: a late copy or another life of the key, nobody can tell


@dataclass(slots=True)
class Position:
    """What is held of one stream: everything up to `held`, and the packs `ahead` of the gap.

    `hash` is the chain hash of the pack that ends at `held`; None when nothing of the epoch is held or the pack
    before the first one was never seen here.
    """

    held: int = 0
    hash: bytes | None = None
    ahead: dict[int, int] = field(default_factory=dict)  # first sequence -> last sequence
    gone: set[int] = field(default_factory=set)  # those firsts in `ahead` that are of tombstones
    declared: int = (
        0  # the source has nothing up to here any more: only what waits ahead of it is still to come
    )

    def go_over(self) -> None:
        """Move on over what was settled elsewhere, up to what waits ahead."""
        if self.held < self.declared:
            waiting = min((first for first in self.ahead if first > self.held), default=self.declared + 1)
            over = min(self.declared, waiting - 1)
            if over > self.held:
                self.held, self.hash = over, None

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The ranges held beyond the gap, adjacent ones joined, lowest first, at most MAX_RANGES."""
        joined: list[tuple[int, int]] = []
        for first in sorted(self.ahead):
            last = self.ahead[first]
            if joined and joined[-1][1] + 1 == first:
                joined[-1] = (joined[-1][0], last)
            else:
                joined.append((first, last))
        return tuple(joined[:MAX_RANGES])

    def holds(self, first: int, last: int) -> bool:
        """Whether the pack from `first` to `last` is held, in the journal or ahead of it."""
        return (
            last <= self.held
            or self.ahead.get(first) == last
            or any(start <= first and last <= self.ahead[start] for start in self.gone)
        )

    def gaps(self, first: int, last: int) -> list[tuple[int, int]]:
        """The runs from `first` to `last` that are held neither in the journal nor ahead of it."""
        found: list[tuple[int, int]] = []
        start = max(first, self.held + 1)
        for begin in sorted(self.ahead):
            end = self.ahead[begin]
            if end < start:
                continue
            if begin > last:
                break
            if start < begin:
                found.append((start, begin - 1))
            start = end + 1
        if start <= last:
            found.append((start, last))
        return found


@dataclass(slots=True)
class Lane:
    """The epochs of one (source, audience, class). `epochs` maps an epoch to its position."""

    chained: bool
    epochs: dict[int, Position] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)  # complete, or their source has no more of them
    floor: int = 0  # this epoch and all before it are over: nothing of them can come any more

    @property
    def newest(self) -> int:
        """The highest epoch that was heard of; 0 for none."""
        return max(self.epochs, default=0)

    def position(self, epoch: int) -> Position:
        """The position of `epoch`, empty when it is new."""
        return self.epochs.setdefault(epoch, Position())

    def declare(self, offers: dict[int, int]) -> None:
        """The source says what it still has: epoch -> first sequence. What it no longer has is waited for no more."""
        for epoch, first in offers.items():
            if epoch <= self.floor:
                continue
            position = self.position(epoch)
            position.declared = max(position.declared, first - 1)
            position.go_over()
        self.close(offers)

    def close(self, offered: Collection[int]) -> None:
        """Of epochs that are older than the newest of those offered, and not among them, nothing comes any more."""
        newest = max(offered, default=0)
        self.closed.update(epoch for epoch in self.epochs if epoch not in offered and epoch < newest)

    def _complete(self, link: Boundary) -> bool:
        before = self.epochs.get(link.epoch)
        return before is None or link.epoch in self.closed or before.held >= link.seq

    def follows(self, link: Link) -> int | None:
        """What names `link` as before it is held: the epoch that is complete with that, if it is."""
        before = self.epochs.get(link.epoch) if isinstance(link, Boundary) else None
        if not isinstance(link, Boundary) or before is None or before.held < link.seq:
            return None
        self.closed.add(link.epoch)
        return link.epoch

    def over(self) -> list[int]:
        """The oldest epochs that are over, all but the newest `KEPT_EPOCHS`: they may be forgotten from the front."""
        oldest: list[int] = []
        for epoch in sorted(self.epochs)[:-KEPT_EPOCHS]:
            if epoch not in self.closed or self.epochs[epoch].ahead:
                break
            oldest.append(epoch)
        return oldest

    def forget(self, epochs: Iterable[int]) -> None:
        """These are over, and all before them."""
        for epoch in epochs:
            self.epochs.pop(epoch, None)
            self.closed.discard(epoch)
            self.floor = max(self.floor, epoch)

    def judge(self, header: Header, count: int, chain_hash: bytes | None = None) -> Verdict:
        """What to do with a verified pack. Changes nothing.

        `chain_hash` is the pack's own: where the last pack held ends at the same number it has to be the same pack.
        """
        first, last = header.first, header.first + count - 1
        if header.stream.epoch <= self.floor:
            return Verdict.OVER
        position = self.epochs.get(header.stream.epoch)
        if position is None:
            if len(self.open_epochs()) >= OPEN_EPOCHS:
                return Verdict.NOT_NOW
            position = Position()
        if position.holds(first, last):
            other = (
                last == position.held
                and None not in (position.hash, chain_hash)
                and position.hash != chain_hash
            )
            return Verdict.FORK if other else Verdict.DUPLICATE
        if first <= position.held:
            return Verdict.FORK  # a pack's bounds never change: one key signed two packs for one number
        if first > position.held + 1:
            if last > position.held + AHEAD_LIMIT or first in position.ahead:
                return Verdict.NOT_NOW
            return Verdict.AHEAD
        if not self.chained:
            return Verdict.NEXT
        return self._follows(position, first, header.prev)

    def judge_tombstone(self, tombstone: Tombstone) -> Verdict:
        """What to do with a verified tombstone. Changes nothing.

        It may begin before what is held ends, and cover what is: only what it contradicts is a fork.
        """
        first, last = tombstone.first, tombstone.last
        if tombstone.stream.epoch <= self.floor:
            return Verdict.OVER
        position = self.epochs.get(tombstone.stream.epoch)
        if position is None:
            if len(self.open_epochs()) >= OPEN_EPOCHS:
                return Verdict.NOT_NOW
            position = Position()
        if last == position.held and position.hash not in (None, tombstone.chain_hash):
            return Verdict.FORK
        if not position.gaps(first, last):
            return Verdict.DUPLICATE
        if first > position.held + 1:
            return Verdict.NOT_NOW if last > position.held + AHEAD_LIMIT else Verdict.AHEAD
        if first <= position.held:
            return Verdict.NEXT
        return self._follows(position, first, tombstone.prev)

    def judge_gap(self, tombstone: Tombstone, first: int) -> Verdict:
        """What to do with a gap in the run of a tombstone that was kept ahead from `first` on."""
        position = self.position(tombstone.stream.epoch)
        if first != tombstone.first or first <= position.held:
            return Verdict.NEXT
        return self._follows(position, first, tombstone.prev)

    def _follows(self, position: Position, first: int, link: Link) -> Verdict:
        """Whether what begins right after what is held, and names `link` as before it, is next."""
        if isinstance(link, Boundary):
            if first != 1:
                return Verdict.FORK
            if not self._complete(link):
                return Verdict.AHEAD
            before = self.epochs.get(link.epoch)
            if before is not None and before.held == link.seq and before.hash not in (None, link.chain_hash):
                return Verdict.FORK
            return Verdict.NEXT
        if first > 1 and position.hash is not None and link != position.hash:
            return Verdict.FORK
        return Verdict.NEXT

    def open_epochs(self) -> list[int]:
        """Epochs that wait for something."""
        return [epoch for epoch, position in self.epochs.items() if position.ahead]

    def take(self, epoch: int, first: int, last: int, chain_hash: bytes) -> None:
        """The pack was journaled: move on."""
        position = self.position(epoch)
        position.ahead.pop(first, None)
        position.held, position.hash = last, chain_hash

    def bury(self, epoch: int, last: int, chain_hash: bytes | None) -> None:
        """Numbers up to `last` are gone: move on. `chain_hash` is None where the run of the tombstone goes on."""
        position = self.position(epoch)
        position.held, position.hash = last, chain_hash

    def keep_ahead(self, epoch: int, first: int, last: int, *, gone: bool = False) -> None:
        """The pack, or with `gone` a gap in the run of a tombstone, was kept beside the journal."""
        position = self.position(epoch)
        position.ahead[first] = last
        if gone:
            position.gone.add(first)

    def let_go(self, epoch: int, first: int) -> int:
        """What was kept beside the journal from `first` on is there no more. Its last number."""
        position = self.position(epoch)
        position.gone.discard(first)
        return position.ahead.pop(first)

    def ready(self) -> list[tuple[int, int]]:
        """(epoch, first) of what was kept ahead and may be next now, once what nobody sends any more is gone over.

        Judge it again to be sure.
        """
        found = []
        waiting = [
            epoch
            for epoch, position in self.epochs.items()
            if position.ahead or position.gone or position.held < position.declared
        ]
        for epoch in sorted(waiting):
            position = self.epochs[epoch]
            position.go_over()
            if position.held + 1 in position.ahead:
                found.append((epoch, position.held + 1))
            found += [(epoch, first) for first in sorted(position.gone) if first <= position.held]
        return found
