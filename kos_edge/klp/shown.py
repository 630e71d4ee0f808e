"""One message of a pack shown alone, for a reader that is to see no more than that.

    shown = [ COSE_Sign1, count, index, message, [ * path ] ]

Header and topic table of the pack are shown with it; the other messages are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kos_edge.errors import Invalid
from kos_edge.klp import cbor, cose, envelope, merkle
from kos_edge.klp.header import MAX_COUNT, Header
from kos_edge.klp.message import Malformed, Message, read_slot
from kos_edge.klp.stream import MAX_SEQ, Position


@dataclass(frozen=True, slots=True)
class Shown:
    """One message out of a pack of `count`, with its inclusion path."""

    header: Header
    cose: cose.Signed = field(repr=False)
    seq: int
    slot: bytes = field(repr=False)
    count: int
    path: tuple[bytes, ...] = field(repr=False)

    @property
    def position(self) -> Position:
        """Where the message stands; its text is the message id."""
        return Position(self.header.stream, self.seq)

    def message(self) -> Message | Malformed:
        """The message, or why what its source signed is none."""
        return read_slot(self.seq, self.slot, self.header.table)

    def verify(self, public: bytes, mesh: bytes) -> None:
        """Invalid unless `public` is the source's key and signed a pack with this message at this place."""
        index = self.seq - self.header.first
        root = merkle.root_from_path(merkle.leaf(self.slot), index, self.count, self.path)
        envelope.verify(self.header, self.cose, public, envelope.context(mesh, self.count, root))


def peek_shown(data: bytes) -> Shown:
    """The message shown in `data` if the structure is right; its signature is *not* checked."""
    value = cbor.decode(data, limit=envelope.MAX_PACK, items=envelope.MAX_ITEMS)
    if type(value) is not list or len(value) != 5:
        raise Invalid("a message shown alone is an array of five")
    sign1, count, index, slot, steps = value
    signed, header = envelope.read(sign1)
    if type(count) is not int or type(index) is not int or not 0 <= index < count <= MAX_COUNT:
        raise Invalid("a message shown alone says which of how many it is")
    if type(slot) is not bytes:
        raise Invalid("a message shown alone is a byte string")
    if type(steps) is not list or not all(map(merkle.is_hash, steps)):
        raise Invalid("an inclusion path is a list of hashes of 32 bytes")
    if header.first + count - 1 > MAX_SEQ:
        raise Invalid("a sequence number is from 1 to 2^63 - 1")
    return Shown(header, signed, header.first + index, slot, count, tuple(steps))


def unseal_shown(data: bytes, public: bytes, mesh: bytes) -> Shown:
    """The message shown in `data`, verified: in a pack that was signed by `public` in this mesh."""
    shown = peek_shown(data)
    shown.verify(public, mesh)
    return shown
