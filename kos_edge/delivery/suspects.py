"""Where to look for a contradiction when a pack comes: the places that an honest source cannot have used as well.

Nothing is judged here: `klp.fork.contradiction` says whether what is found there proves a fork.
"""

from __future__ import annotations

from collections.abc import Iterator

from kos_edge.delivery.position import Lane
from kos_edge.klp.pack import Boundary, Header

Place = tuple[int, int]
"""An epoch of the lane, and a sequence number in it."""


def suspects(lane: Lane, header: Header) -> Iterator[Place]:
    """The places to compare with a verified pack; none at all for nearly every pack of an honest source."""
    epoch, first = header.stream.epoch, header.first
    own = lane.epochs.get(epoch)
    if own is not None and own.held:
        if first <= own.held:
            yield epoch, first
        elif first == own.held + 1 and own.hash is not None and header.prev != own.hash and first > 1:
            yield epoch, own.held
    end = header.prev
    if isinstance(end, Boundary):
        before = lane.epochs.get(end.epoch)
        if before is not None and before.held >= end.seq:
            if before.held > end.seq:
                yield end.epoch, end.seq + 1
            elif before.hash not in (None, end.chain_hash):
                yield end.epoch, end.seq
        if before is not None:
            yield from ((end.epoch, ahead) for ahead in before.ahead if ahead > end.seq)
        yield from _next_after(lane, end.epoch, epoch)
    if lane.newest > epoch:
        yield from _next_after(lane, epoch, epoch)


def _next_after(lane: Lane, epoch: int, but: int) -> Iterator[Place]:
    """The beginning of the next epoch of which there is anything."""
    later = [
        other
        for other, position in lane.epochs.items()
        if other > epoch and other != but and (position.held or 1 in position.ahead)
    ]
    if later:
        yield min(later), 1
