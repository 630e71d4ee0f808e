"""The signed header of a pack: one payload for all of its messages.

    header = [ version, source, audience, class, epoch, first_seq, prev,
               mono_ms, wall_ms, uncertainty_ms, table ]

Every part is checked when a header is made, so that one that is wrong is neither signed nor accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.klp import cbor
from kos_edge.klp.fields import MAX_MS
from kos_edge.klp.jsonform import MAX_WALL_MS
from kos_edge.klp.stream import MAX_EPOCH, MAX_SEQ, Stream, audience_to_wire, stream_from_wire
from kos_edge.klp.table import Table, check_table, encode_entry, table_from_wire

VERSION = 1
CHAIN_BYTES = 16
MAX_COUNT = 256
"""Messages in one pack at most: what bounds the work before its signature is checked."""

MAX_ITEMS = 1_024
"""CBOR items of a header at most: what bounds the work on its forms before its signature is checked."""

_MAX_HEADER = 65_536


@dataclass(frozen=True, slots=True)
class Boundary:
    """The last pack of the epoch before: its epoch, its last sequence number, its chain hash (16 bytes)."""

    epoch: int
    seq: int
    chain_hash: bytes


Link = bytes | Boundary | None
"""What comes before a pack: the chain hash of the pack before it in this stream (16 bytes), a `Boundary` on
the first pack of an epoch, None for volatile streams and for the first pack ever."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a source signs once for all messages of a pack.

    `mono_ms` is the source's monotonic clock at the base that offsets count from. `wall_ms` is what its wall
    clock said then (milliseconds since 1970), `uncertainty_ms` how far off that may be; both None if unknown.
    """

    stream: Stream
    first: int
    prev: Link
    mono_ms: int
    wall_ms: int | None
    uncertainty_ms: int | None
    table: Table

    def __post_init__(self) -> None:
        if not 1 <= self.first <= MAX_SEQ:
            raise Invalid("a sequence number is from 1 to 2^63 - 1")
        check_link(self.stream, self.first, self.prev)
        if not _is_within(self.mono_ms, MAX_MS):
            raise Invalid("the monotonic time of a pack is from 0 to 2^53 - 1 ms")
        if (self.wall_ms is None) != (self.uncertainty_ms is None):
            raise Invalid("wall time and uncertainty of a pack are both known or both null")
        if self.wall_ms is not None and not (
            _is_within(self.wall_ms, MAX_WALL_MS) and _is_within(self.uncertainty_ms, MAX_MS)
        ):
            raise Invalid("the wall time of a pack is from 1970 to 9999, its uncertainty below 2^53 ms")
        check_table(self.table, MAX_COUNT)

    @property
    def topics(self) -> tuple[str, ...]:
        """The topic of each entry of the table; one that has several entries is there as often."""
        return tuple([entry.topic for entry in self.table])

    def encode(self) -> bytes:
        """The payload that is signed."""
        stream = self.stream
        parts = cbor.encode_sequence(
            VERSION,
            stream.source,
            audience_to_wire(stream.audience),
            stream.cls.code,
            stream.epoch,
            self.first,
            link_to_wire(self.prev),
            self.mono_ms,
            self.wall_ms,
            self.uncertainty_ms,
        )
        return b"\x8b" + parts + cbor.array(map(encode_entry, self.table))

    @classmethod
    def decode(cls, payload: bytes) -> Header:
        """The header in a signed payload; Invalid unless every part is in its range."""
        parts = cbor.decode(payload, limit=_MAX_HEADER, items=MAX_ITEMS)
        if type(parts) is not list or not parts or parts[0] is True or parts[0] != VERSION:
            raise Invalid("not a pack of version 1")
        if len(parts) != 11:
            raise Invalid("the header of a pack is an array of eleven")
        _, source, audience, code, epoch, first, prev, mono_ms, wall_ms, uncertainty_ms, table = parts
        if type(source) is not bytes or type(epoch) is not int or type(first) is not int:
            raise Invalid("the header of a pack names its source by 16 bytes, epoch and sequence by integers")
        stream = stream_from_wire(source, audience, code, epoch)
        link, entries = link_from_wire(prev), table_from_wire(table)
        return cls(stream, first, link, mono_ms, wall_ms, uncertainty_ms, entries)


def check_link(stream: Stream, first: int, prev: Link) -> None:
    """Invalid unless `prev` may stand before the number `first` of this stream."""
    if not stream.cls.durable:
        if prev is not None:
            raise Invalid("a volatile stream has no chain")
    elif first > 1:
        if type(prev) is not bytes or len(prev) != CHAIN_BYTES:
            raise Invalid("a pack of a durable stream names the one before it by 16 bytes")
    elif isinstance(prev, Boundary):
        if not 1 <= prev.epoch < stream.epoch or prev.epoch > MAX_EPOCH or not 1 <= prev.seq <= MAX_SEQ:
            raise Invalid("the pack before an epoch is of an earlier epoch, with a sequence number")
        if len(prev.chain_hash) != CHAIN_BYTES:
            raise Invalid("a chain hash is 16 bytes")
    elif prev is not None:
        raise Invalid("the first pack of an epoch names the last of the epoch before, or nothing")


def link_to_wire(prev: Link) -> Any:
    """What comes before a pack, as on the wire."""
    return [prev.epoch, prev.seq, prev.chain_hash] if isinstance(prev, Boundary) else prev


def link_from_wire(wire: Any) -> Link:
    """What comes before a pack, from the wire; whether it may stand there is asked of `check_link`."""
    if wire is None or type(wire) is bytes:
        return wire
    if type(wire) is not list or len(wire) != 3:
        raise Invalid("what comes before a pack is null, 16 bytes, or epoch, sequence and 16 bytes")
    epoch, seq, chain_hash = wire
    if type(epoch) is not int or type(seq) is not int or type(chain_hash) is not bytes:
        raise Invalid("what comes before an epoch is epoch, sequence and 16 bytes")
    return Boundary(epoch, seq, chain_hash)


def _is_within(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most
