"""Digging a grave: the tombstone that takes the place of packs and tombstones that follow each other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kos_edge.errors import Invalid
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.message import Reason
from kos_edge.klp.sealed import peek_sealed
from kos_edge.klp.tombstone import bury
from kos_edge.store.owed import Waiting
from kos_edge.store.streams import StreamRow

log = logging.getLogger(__name__)


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
) -> Grave | None:
    """The tombstone for `packs[start:end]`; None where what it has to name as before or after it is not readable."""
    try:
        begin = peek_sealed(sealed(packs[start].id))
        last = packs[end - 1].last
        if last == row.held and row.hash is not None:
            chain_hash = row.hash
        elif end < len(packs):
            link = peek_sealed(sealed(packs[end].id)).prev
            chain_hash = link if isinstance(link, bytes) else b""
        else:
            chain_hash = peek_sealed(sealed(packs[end - 1].id)).chain_hash
        count = last - begin.first + 1
        raw = bury(
            row.stream, begin.first, count, reason, prev=begin.prev, chain_hash=chain_hash, key=key, mesh=mesh
        )
    except Invalid as error:
        log.warning("a pack that should go is damaged and stays: %s", error)
        return None
    return Grave(begin.first, count, raw)
