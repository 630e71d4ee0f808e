"""Digging a grave: the tombstone that takes the place of packs and tombstones that follow each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from kos_edge.errors import Invalid
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.message import Message, Reason, Removed
from kos_edge.klp.pack import peek
from kos_edge.klp.sealed import peek_sealed
from kos_edge.klp.tombstone import bury
from kos_edge.store.database import Damaged
from kos_edge.store.owed import Waiting
from kos_edge.store.streams import StreamRow


@dataclass(frozen=True, slots=True)
class Grave:
    """A signed tombstone and the run that it is for."""

    first: int
    count: int
    raw: bytes


def dig(
    row: StreamRow,
    packs: Sequence[Waiting],
    start: int,
    end: int,
    reason: Reason,
    sealed: Callable[[int], bytes],
    key: KeyPair,
    mesh: bytes,
) -> Grave:
    """The tombstone for `packs[start:end]`. Raises Damaged where what it has to name as before or after it is."""
    try:
        begin = peek_sealed(sealed(packs[start].id))
        last = packs[end - 1].last
        if last == row.held and row.hash is not None:
            chain_hash = row.hash
        elif end < len(packs) and (following := peek_sealed(sealed(packs[end].id))).first == last + 1:
            link = following.prev
            chain_hash = link if isinstance(link, bytes) else b""
        else:
            chain_hash = peek_sealed(sealed(packs[end - 1].id)).chain_hash
        count = last - begin.first + 1
        raw = bury(
            row.stream, begin.first, count, reason, prev=begin.prev, chain_hash=chain_hash, key=key, mesh=mesh
        )
    except Invalid as error:
        raise Damaged(f"a pack that should go is damaged: {error.message}") from error
    return Grave(begin.first, count, raw)


def lasts_ms(raw: bytes) -> float:
    """The age in ms at which every message of a pack has outlived its ttl; infinite where one has none.

    Raises Damaged.
    """
    try:
        items = [item for _, item in peek(raw).messages()]
    except Invalid as error:
        raise Damaged(f"a pack that may have expired is damaged: {error.message}") from error
    left = [item for item in items if not isinstance(item, Removed)]
    return max(
        (
            item.ttl_s * 1000 + item.offset_ms
            if isinstance(item, Message) and item.ttl_s is not None
            else inf
            for item in left
        ),
        default=0,
    )
