"""Packs: the messages of one stream that were committed together, under one signature.

    pack = [ COSE_Sign1 over the header, [ + slot ] ]    slot = bytes of a message / [ leaf hash, reason ]

The signature covers the header and, as external_aad, mesh id, count and Merkle root. So a message can be
taken out (`remove`) or shown alone (`show`), and what is left still verifies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kos_edge.errors import Invalid, Misuse
from kos_edge.klp import cbor, cose, envelope, merkle
from kos_edge.klp.envelope import MAX_PACK, chain_hash
from kos_edge.klp.header import MAX_COUNT, Boundary, Header, Link
from kos_edge.klp.message import (
    MAX_MESSAGE,
    Malformed,
    Message,
    Prepared,
    Reason,
    Removed,
    encode_message,
    prepare,
    prepare_all,
    read_slot,
    topic_index,
)
from kos_edge.klp.packer import MESSAGE_ROOM, UDP_BUDGET, Packer, message_size, packed, seal
from kos_edge.klp.plain import unsure
from kos_edge.klp.shown import Shown, peek_shown, unseal_shown
from kos_edge.klp.stream import MAX_SEQ, Class, Position, Priority, Stream
from kos_edge.klp.table import Entry, Form

__all__ = [
    "MAX_COUNT", "MAX_MESSAGE", "MAX_PACK", "MESSAGE_ROOM", "UDP_BUDGET", "Boundary", "Class", "Entry",
    "Form", "Header", "Link", "Malformed", "Message", "Pack", "Packer", "Position", "Prepared",
    "Priority", "Reason", "Removed", "Shown", "Stream", "chain_hash", "encode_message", "message_size", "packed",
    "peek", "peek_shown", "prepare", "prepare_all", "remove", "seal", "sealed", "show", "unseal", "unseal_shown",
]  # fmt: skip

Slot = bytes | Removed


@dataclass(frozen=True)
class Pack:
    """A pack as received. From `peek` its structure is known to be right, from `unseal` its signature too."""

    header: Header
    slots: tuple[Slot, ...] = field(repr=False)
    cose: cose.Signed = field(repr=False)
    raw: bytes = field(repr=False)

    @property
    def stream(self) -> Stream:
        """Whose numbering this is part of."""
        return self.header.stream

    @property
    def prev(self) -> Link:
        """What its header names as before it."""
        return self.header.prev

    @property
    def count(self) -> int:
        """Slots, with those whose message was taken out."""
        return len(self.slots)

    @property
    def first(self) -> int:
        """The sequence number of the first slot."""
        return self.header.first

    @property
    def last(self) -> int:
        """The sequence number of the last slot."""
        return self.header.first + len(self.slots) - 1

    @cached_property
    def chain_hash(self) -> bytes:
        """What the next pack of the stream names this one by (16 bytes); the same after a removal."""
        return chain_hash(self.cose.raw)

    @cached_property
    def leaves(self) -> tuple[bytes, ...]:
        """The leaf hash of every slot."""
        return tuple([slot.leaf if isinstance(slot, Removed) else merkle.leaf(slot) for slot in self.slots])

    @cached_property
    def _items(self) -> tuple[Message | Removed | Malformed, ...]:
        table = self.header.table
        numbered = enumerate(self.slots, start=self.first)
        return tuple(
            [slot if isinstance(slot, Removed) else read_slot(seq, slot, table) for seq, slot in numbered]
        )

    @cached_property
    def others(self) -> tuple[tuple[int, Message | Removed | Malformed], ...]:
        """The messages but for those that are certainly plain readings: data, well-formed, without options.

        Most are: what a receiver has to know of them needs no decoding.
        """
        table, first = self.header.table, self.first
        found: list[tuple[int, Message | Removed | Malformed]] = []
        for index in unsure(self.slots, table):
            slot, seq = self.slots[index], first + index
            found.append((seq, slot if isinstance(slot, Removed) else read_slot(seq, slot, table)))
        return tuple(found)

    def messages(self) -> Iterator[tuple[int, Message | Removed | Malformed]]:
        """Each sequence number with its message, what was taken out, or what its source signed in error.

        They are decoded once, and then kept for as long as the pack.
        """
        return enumerate(self._items, start=self.first)

    def message(self, seq: int) -> Message | Removed | Malformed:
        """The one of this sequence number; Invalid if it is not in the pack."""
        slot = self.slots[self._index(seq)]
        return slot if isinstance(slot, Removed) else read_slot(seq, slot, self.header.table)

    def position(self, seq: int) -> Position:
        """The position of one of the sequence numbers; its text is the message id."""
        return Position(self.header.stream, seq)

    def verify(self, public: bytes, mesh: bytes) -> None:
        """Invalid unless `public` is the source's key and signed exactly these messages in this mesh."""
        external_aad = envelope.context(mesh, self.count, merkle.root(self.leaves))
        envelope.verify(self.header, self.cose, public, external_aad)

    def remove(self, reasons: Mapping[int, Reason | int]) -> bytes:
        """The bytes of this pack without the messages of these sequence numbers; they verify as before.

        What was taken out earlier keeps its reason. Invalid for a number that is not in the pack.
        """
        slots = list(self.slots)
        for seq, reason in reasons.items():
            index = self._index(seq)
            if not isinstance(slots[index], Removed):
                slots[index] = Removed(self.leaves[index], Reason(reason))
        return envelope.assemble(self.cose.raw, map(_encode_slot, slots))

    def show(self, seq: int) -> bytes:
        """One message alone, with the path that proves that it was in the pack; Invalid if it is gone."""
        index = self._index(seq)
        slot = self.slots[index]
        if isinstance(slot, Removed):
            raise Invalid(f"the message with sequence number {seq} was taken out of this pack")
        steps = cbor.array(map(cbor.byte_string, merkle.path(self.leaves, index)))
        count_and_index = cbor.encode_sequence(self.count, index)
        return b"\x85" + self.cose.raw + count_and_index + cbor.byte_string(slot) + steps

    def _index(self, seq: int) -> int:
        if not self.first <= seq <= self.last:
            raise Invalid(f"this pack has the sequence numbers {self.first} to {self.last}, not {seq}")
        return seq - self.first


def peek(data: bytes) -> Pack:
    """The pack in `data` if its structure is right; its signature is *not* checked: `Pack.verify`."""
    value = cbor.decode(data, limit=MAX_PACK, items=envelope.MAX_ITEMS)
    if type(value) is not list or len(value) != 2:
        raise Invalid("a pack is an array of two")
    signed, header = envelope.read(value[0])
    if type(value[1]) is not list or not 1 <= len(value[1]) <= MAX_COUNT:
        raise Invalid(f"a pack has from 1 to {MAX_COUNT} slots")
    slots = tuple([slot if type(slot) is bytes else _removed(slot) for slot in value[1]])
    if header.first + len(slots) - 1 > MAX_SEQ:
        raise Invalid("a sequence number is from 1 to 2^63 - 1")
    _check_use(slots, len(header.table))
    return Pack(header, slots, signed, bytes(data))


def sealed(packer: Packer) -> Pack:
    """What a packer has sealed, without reading it again; Misuse before that."""
    if packer.parts is None:
        raise Misuse("nothing is sealed yet")
    return Pack(*packer.parts)


def unseal(data: bytes, public: bytes, mesh: bytes) -> Pack:
    """The pack in `data`, verified: signed by `public` in this mesh. Messages are not decoded yet."""
    pack = peek(data)
    pack.verify(public, mesh)
    return pack


def remove(data: bytes, reasons: Mapping[int, Reason | int]) -> bytes:
    """See `Pack.remove`."""
    return peek(data).remove(reasons)


def show(data: bytes, seq: int) -> bytes:
    """See `Pack.show`."""
    return peek(data).show(seq)


def _removed(slot: Any) -> Removed:
    if type(slot) is not list or len(slot) != 2 or not merkle.is_hash(slot[0]):
        raise Invalid("a slot is the bytes of a message, or a leaf hash with a reason")
    if type(slot[1]) is not int or not 1 <= slot[1] <= 4:
        raise Invalid("the reason of a removal is a number from 1 to 4")
    return Removed(slot[0], Reason(slot[1]))


def _check_use(slots: tuple[Slot, ...], size: int) -> None:
    """Invalid unless the messages use the entries of the table in its order, each of them.

    What was taken out, or is no message, may have used any.
    """
    used, is_sure = 0, True
    for slot in slots:
        index = topic_index(slot) if type(slot) is bytes else None
        if index is None or index >= size:
            is_sure = False
        elif index >= used:
            if index > used and is_sure:
                raise Invalid("the topic table of a pack is not in the order of first use")
            used = index + 1
    if used != size and is_sure:
        raise Invalid("the topic table of a pack has an entry that no message uses")


def _encode_slot(slot: Slot) -> bytes:
    return cbor.encode([slot.leaf, slot.reason]) if isinstance(slot, Removed) else cbor.byte_string(slot)
