"""The signed header of a pack: one payload for all of its messages.

    header = [ version, source, audience, class, epoch, first_seq, prev,
               mono_ms, wall_ms, uncertainty_ms, topics ]

Every part is checked when a header is made, so that one that is wrong is neither signed nor accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.klp import cbor, topic
from kos_edge.klp.fields import MAX_MS
from kos_edge.klp.jsonform import MAX_WALL_MS
from kos_edge.klp.stream import MAX_EPOCH, MAX_SEQ, Stream, audience_to_wire, stream_from_wire

VERSION = 1
CHAIN_BYTES = 16
MAX_COUNT = 256
"""Messages in one pack at most: what bounds the work before its signature is checked."""

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
    topics: tuple[str, ...]

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
        _check_table(self.topics)

    def encode(self) -> bytes:
        """The payload that is signed."""
        stream = self.stream
        return cbor.encode(
            [
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
                self.topics,
            ]
        )

    @classmethod
    def decode(cls, payload: bytes) -> Header:
        """The header in a signed payload; Invalid unless every part is in its range."""
        parts = cbor.decode(payload, limit=_MAX_HEADER)
        if type(parts) is not list or not parts or parts[0] is True or parts[0] != VERSION:
            raise Invalid("not a pack of version 1")
        if len(parts) != 11:
            raise Invalid("the header of a pack is an array of eleven")
        _, source, audience, code, epoch, first, prev, mono_ms, wall_ms, uncertainty_ms, topics = parts
        if type(source) is not bytes or type(epoch) is not int or type(first) is not int:
            raise Invalid("the header of a pack names its source by 16 bytes, epoch and sequence by integers")
        if type(topics) is not list or any(type(name) is not str for name in topics):
            raise Invalid("the topic table of a pack is a list of texts")
        stream = stream_from_wire(source, audience, code, epoch)
        return cls(stream, first, link_from_wire(prev), mono_ms, wall_ms, uncertainty_ms, tuple(topics))


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


def _check_table(topics: tuple[str, ...]) -> None:
    if not 1 <= len(topics) <= MAX_COUNT or len(set(topics)) != len(topics):
        raise Invalid("the topic table of a pack has each of its topics once, and at least one")
    for name in topics:
        topic.check_topic(name)


def _is_within(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most
