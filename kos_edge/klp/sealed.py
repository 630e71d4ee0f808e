"""What stands in a durable stream: packs, and tombstones in the place of packs that are gone."""

from __future__ import annotations

from kos_edge.klp.pack import Pack, peek
from kos_edge.klp.tombstone import Tombstone, is_tombstone, peek_tombstone

Sealed = Pack | Tombstone


def peek_sealed(data: bytes) -> Sealed:
    """The pack or the tombstone in `data`, told apart by their structure; the signature is *not* checked."""
    return peek_tombstone(data) if is_tombstone(data) else peek(data)
