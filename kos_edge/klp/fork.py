"""Forks: two things signed with one key that no single source signs. They prove that two hold the key.

A *statement* is the signed header of a pack with what its signature covers besides: enough to check it without the
messages.

    statement = [ COSE_Sign1 over the header (bytes), count, Merkle root ]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.klp import cbor, cose, envelope, merkle
from kos_edge.klp.header import MAX_COUNT, Boundary, Header
from kos_edge.klp.pack import Pack, chain_hash

MAX_STATEMENT = 2_048
"""Bytes of a signed header: twice what fits a datagram. What is longer proves nothing here."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a source has signed of one pack. From `read` its structure is right; its signature: `verify`."""

    header: Header
    count: int
    root: bytes
    signed: cose.Signed = field(repr=False)

    @classmethod
    def of(cls, pack: Pack) -> Statement:
        """What the signature of a pack says."""
        return cls(pack.header, pack.count, merkle.root(pack.leaves), pack.cose)

    @classmethod
    def read(cls, value: object) -> Statement:
        """From a decoded array. Raises Invalid."""
        match value:
            case [bytes(raw), int(count), bytes(root)] if type(count) is int and 1 <= count <= MAX_COUNT:
                if not merkle.is_hash(root) or len(raw) > MAX_STATEMENT:
                    raise Invalid(
                        f"a statement has a root of 32 bytes and a header of at most {MAX_STATEMENT}"
                    )
                signed, header = envelope.read(cbor.decode(raw, limit=MAX_STATEMENT))
                return cls(header, count, root, signed)
        raise Invalid("a statement is a signed header, a count and a root")

    def to_wire(self) -> list[Any]:
        """As an array."""
        return [self.signed.raw, self.count, self.root]

    @property
    def first(self) -> int:
        return self.header.first

    @property
    def last(self) -> int:
        return self.header.first + self.count - 1

    @property
    def hash(self) -> bytes:
        """The chain hash of the pack."""
        return chain_hash(self.signed.raw)

    def verify(self, public: bytes, mesh: bytes) -> None:
        """Invalid unless `public` is the source's key and signed this in this mesh."""
        envelope.verify(self.header, self.signed, public, envelope.context(mesh, self.count, self.root))


def contradiction(one: Statement, other: Statement) -> str | None:
    """In which way the two cannot both be of one source, in words; None where they can."""
    first, second = one.header.stream, other.header.stream
    if (first.source, first.audience, first.cls) != (second.source, second.audience, second.cls):
        return None
    if not first.cls.durable:
        return None
    if first.epoch == second.epoch:
        return _within_one_epoch(one, other)
    return _between_epochs(one, other) or _after_its_end(one, other) or _after_its_end(other, one)


def _within_one_epoch(one: Statement, other: Statement) -> str | None:
    if one.hash == other.hash:
        return None
    if one.first <= other.last and other.first <= one.last:
        return "two packs at one place"
    before, after = sorted((one, other), key=lambda each: each.first)
    if after.first == before.last + 1 and after.header.prev != before.hash:
        return "a pack that names another one before it than the one that is there"
    return None


def _between_epochs(one: Statement, other: Statement) -> str | None:
    """Two first packs that name one epoch as the one before."""
    mine, theirs = one.header.prev, other.header.prev
    if isinstance(mine, Boundary) and isinstance(theirs, Boundary) and mine.epoch == theirs.epoch:
        return "two epochs after one"
    return None


def _after_its_end(one: Statement, other: Statement) -> str | None:
    """`one` says where the epoch of `other` ended."""
    end = one.header.prev
    if not isinstance(end, Boundary) or end.epoch != other.header.stream.epoch:
        return None
    if other.last > end.seq:
        return "an epoch that went on after its end"
    if other.last == end.seq and other.hash != end.chain_hash:
        return "two packs at the end of an epoch"
    return None
