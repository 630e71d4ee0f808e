"""Tombstones: a source's signed word that a run of its numbers will never come, and why.

    tombstone = COSE_Sign1 over [ version, source, audience, class, epoch, first_seq, count, reason, prev, chain ]

It stands in the place of the packs that it replaces: `prev` is what the first of them names as before it, and
`chain` the chain hash of the last one, so that the chain of packs goes on over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kos_edge.errors import Invalid
from kos_edge.klp import cbor, cose, identity
from kos_edge.klp.header import (
    CHAIN_BYTES,
    VERSION,
    Link,
    check_link,
    link_from_wire,
    link_to_wire,
)
from kos_edge.klp.message import Malformed, Message, Reason, Removed
from kos_edge.klp.stream import MAX_SEQ, Position, Stream, audience_to_wire, stream_from_wire

MAX_TOMBSTONE = 512
"""Bytes of a tombstone at most; the longest that the grammar allows has about 240."""

_PARTS = 10


@dataclass(frozen=True)
class Tombstone:
    """A run of numbers that is gone. From `peek_tombstone` its structure is right, from `unseal_tombstone` its
    signature too."""

    stream: Stream
    first: int
    count: int
    reason: Reason
    prev: Link
    chain_hash: bytes
    """That of the last pack of the run: what the next pack of the stream names as before it."""
    cose: cose.Signed = field(repr=False)
    raw: bytes = field(repr=False)

    @property
    def last(self) -> int:
        """The last number of the run."""
        return self.first + self.count - 1

    def messages(self) -> Iterator[tuple[int, Message | Removed | Malformed]]:
        """None: they are gone."""
        return iter(())

    def position(self, seq: int) -> Position:
        """The position of one of the numbers."""
        return Position(self.stream, seq)

    def verify(self, public: bytes, mesh: bytes) -> None:
        """Invalid unless `public` is the source's key and signed exactly this in this mesh."""
        if identity.kid_of(public) != self.stream.source:
            raise Invalid("the key is not that of the source")
        self.cose.verify(public, typ=cose.Typ.TOMBSTONE, external_aad=_context(mesh))


def bury(
    stream: Stream,
    first: int,
    count: int,
    reason: Reason,
    *,
    prev: Link,
    chain_hash: bytes,
    key: identity.KeyPair,
    mesh: bytes,
) -> bytes:
    """The signed tombstone of this run; Invalid if it breaks a rule."""
    if key.kid != stream.source:
        raise Invalid("a stream is signed by the key that it names as its source")
    _check(stream, first, count, prev, chain_hash)
    parts = [
        VERSION,
        stream.source,
        audience_to_wire(stream.audience),
        stream.cls.code,
        stream.epoch,
        first,
        count,
        int(reason),
        link_to_wire(prev),
        chain_hash,
    ]
    return cose.sign1(cbor.encode(parts), cose.Typ.TOMBSTONE, key, external_aad=_context(mesh))


def is_tombstone(data: bytes) -> bool:
    """Whether these bytes, a pack or a tombstone, begin as a tombstone does: with an array of four."""
    return data[:1] == b"\x84"


def peek_tombstone(data: bytes) -> Tombstone:
    """The tombstone in `data` if its structure is right; its signature is *not* checked."""
    signed = cose.read_sign1(data, limit=MAX_TOMBSTONE)
    if signed.typ != cose.Typ.TOMBSTONE:
        raise Invalid(f"signed as type {signed.typ}, which is not a tombstone")
    if signed.unprotected:
        raise Invalid("the unprotected header of a tombstone is empty")
    parts = cbor.decode(signed.payload, limit=MAX_TOMBSTONE)
    if type(parts) is not list or not parts or parts[0] is True or parts[0] != VERSION:
        raise Invalid("not a tombstone of version 1")
    if len(parts) != _PARTS:
        raise Invalid("a tombstone is an array of ten")
    _, source, audience, code, epoch, first, count, reason, prev, chain_hash = parts
    if type(source) is not bytes or any(type(number) is not int for number in (epoch, first, count)):
        raise Invalid("a tombstone names its source by 16 bytes, epoch and numbers by integers")
    if type(reason) is not int or not 1 <= reason <= 4:
        raise Invalid("the reason of a tombstone is a number from 1 to 4")
    stream = stream_from_wire(source, audience, code, epoch)
    link = link_from_wire(prev)
    _check(stream, first, count, link, chain_hash)
    return Tombstone(stream, first, count, Reason(reason), link, chain_hash, signed, bytes(data))


def unseal_tombstone(data: bytes, public: bytes, mesh: bytes) -> Tombstone:
    """The tombstone in `data`, verified: signed by `public` in this mesh."""
    tombstone = peek_tombstone(data)
    tombstone.verify(public, mesh)
    return tombstone


def _check(stream: Stream, first: int, count: int, prev: Link, chain_hash: object) -> None:
    if not stream.cls.durable:
        raise Invalid("a volatile stream has no tombstones")
    if not 1 <= first <= MAX_SEQ or count < 1 or first + count - 1 > MAX_SEQ:
        raise Invalid("a tombstone is for at least one number, from 1 to 2^63 - 1")
    check_link(stream, first, prev)
    if type(chain_hash) is not bytes or len(chain_hash) != CHAIN_BYTES:
        raise Invalid("a tombstone ends with a chain hash of 16 bytes")


def _context(mesh: bytes) -> bytes:
    if len(mesh) != cose.MESH_BYTES:
        raise Invalid(f"a mesh id is {cose.MESH_BYTES} bytes, not {len(mesh)}")
    return mesh
