"""Making packs: messages are gathered up to a budget of bytes and sealed under one signature."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice

from kos_edge.errors import Invalid
from kos_edge.klp import cbor, cose, envelope, identity, merkle
from kos_edge.klp.fields import MAX_MS
from kos_edge.klp.header import CHAIN_BYTES, MAX_COUNT, MAX_ITEMS, VERSION, Header, Link
from kos_edge.klp.message import MAX_MESSAGE, Message, Prepared, prepare
from kos_edge.klp.stream import MAX_EPOCH, MAX_SEQ, Stream, audience_to_wire
from kos_edge.klp.table import Entry, encode_entry, items_of

UDP_BUDGET = 1_000
"""Bytes of a pack that fits one datagram inside OSCORE; a single message may be larger."""

MESSAGE_ROOM = 830
"""Bytes of messages that such a pack holds, with their topics and forms: what is left beside signature and header."""

_HEADER_ITEMS = 20
"""Data items of a header besides its table at most."""

_FRAME = 86
"""Bytes of a pack besides header, slots and topics at most: COSE_Sign1 with signature, heads of arrays."""


class Packer:
    """Gathers messages of one stream for one pack, up to a budget of bytes."""

    def __init__(self, stream: Stream, first: int, *, budget: int = UDP_BUDGET) -> None:
        self.stream = stream
        self.first = first
        self._budget = budget
        self._entries: dict[Entry, int] = {}
        self._items = _HEADER_ITEMS
        self._slots: list[bytes] = []
        self._size = _FRAME + _header_size(stream, first)
        self.chain_hash = b""
        """Of the pack that `seal` has given: what the next one names it by."""
        self.parts: tuple[Header, tuple[bytes, ...], cose.Signed, bytes] | None = None
        """What `seal` has put together, for `pack.sealed`."""

    @property
    def count(self) -> int:
        """Messages taken so far."""
        return len(self._slots)

    @property
    def size(self) -> int:
        """An upper bound in bytes of what `seal` gives."""
        return self._size

    def add(self, message: Message | Prepared) -> bool:
        """Take one more message. False, and nothing has changed, if it does not fit beside those taken.

        Invalid if the message breaks a rule. The first is always taken, even if it alone is over the budget.
        """
        ready = message.newest() if isinstance(message, Prepared) else prepare(message)
        return self.take(ready) == 1

    def take(self, ready: Prepared, start: int = 0, most: int = MAX_COUNT) -> int:
        """Take what fits of these messages from the index `start` on, until there are `most`; how many that were.

        0, and nothing has changed, if none fits. The first of a pack is always taken, as in `add`.
        """
        index = self._entries.get(ready.entry, len(self._entries))
        is_new = index == len(self._entries)
        head, slots, size = ready.head(index), self._slots, self._size
        before = len(slots)
        new = len(encode_entry(ready.entry)) if is_new else 0
        items = self._items + items_of(ready.entry) if is_new else self._items
        if items > MAX_ITEMS:
            return 0
        for tail in islice(ready.tails, start, None):
            slot = head + tail
            if len(slot) > MAX_MESSAGE:
                raise Invalid(f"a message of {len(slot)} bytes; at most {MAX_MESSAGE} are carried")
            more = _string_size(len(slot)) + new
            if slots and (size + more > self._budget or len(slots) >= most):
                break
            slots.append(slot)
            size += more
            new = 0
        taken = len(slots) - before
        if taken:
            self._entries[ready.entry] = index
            self._size, self._items = size, items
        return taken

    def seal(
        self,
        *,
        prev: Link,
        mono_ms: int,
        wall_ms: int | None,
        uncertainty_ms: int | None,
        key: identity.KeyPair,
        mesh: bytes,
    ) -> bytes:
        """The signed pack of what was taken; Invalid if that is nothing, or if the header breaks a rule."""
        if not self._slots:
            raise Invalid("a pack has at least one message")
        if key.kid != self.stream.source:
            raise Invalid("a stream is signed by the key that it names as its source")
        if self.first + len(self._slots) - 1 > MAX_SEQ:
            raise Invalid("a sequence number is from 1 to 2^63 - 1")
        header = Header(self.stream, self.first, prev, mono_ms, wall_ms, uncertainty_ms, tuple(self._entries))
        root = merkle.root([merkle.leaf(slot) for slot in self._slots])
        external_aad = envelope.context(mesh, len(self._slots), root)
        signed = cose.sign(header.encode(), cose.Typ.PACK, key, external_aad=external_aad)
        self.chain_hash = envelope.chain_hash(signed.raw)
        data = envelope.assemble(signed.raw, map(cbor.byte_string, self._slots))
        if len(data) > envelope.MAX_PACK:
            raise Invalid(f"a pack of {len(data)} bytes; at most {envelope.MAX_PACK} are carried")
        self.parts = (header, tuple(self._slots), signed, data)
        return data


def seal(
    stream: Stream,
    first: int,
    messages: Iterable[Message],
    *,
    prev: Link,
    mono_ms: int,
    wall_ms: int | None,
    uncertainty_ms: int | None,
    key: identity.KeyPair,
    mesh: bytes,
) -> bytes:
    """The signed pack of these messages, numbered from `first`; Invalid if a rule or a limit forbids it."""
    packer = Packer(stream, first, budget=envelope.MAX_PACK)
    for message in messages:
        if not packer.add(message):
            raise Invalid(f"more than one pack of {envelope.MAX_PACK} bytes and {MAX_COUNT} messages holds")
    return packer.seal(
        prev=prev, mono_ms=mono_ms, wall_ms=wall_ms, uncertainty_ms=uncertainty_ms, key=key, mesh=mesh
    )


def packed(
    stream: Stream, first: int, messages: Iterable[Message | Prepared], most: int = MAX_COUNT
) -> Iterator[tuple[Packer, int | None]]:
    """Packers numbered from `first` on, each full for a datagram or with `most` messages, and the shortest ttl in it.

    A message larger than a datagram has its own. Invalid if one breaks a rule.
    """
    packer = Packer(stream, first)
    ttl: int | None = None
    for message in messages:
        ready = message if isinstance(message, Prepared) else prepare(message)
        start = 0
        while start < len(ready.tails):
            taken = packer.take(ready, start, most)
            if not taken:
                yield packer, ttl
                packer, ttl = Packer(stream, packer.first + packer.count), None
                continue
            start += taken
            if ready.ttl_s is not None:
                ttl = ready.ttl_s if ttl is None else min(ttl, ready.ttl_s)
    yield packer, ttl


def message_size(message: Message) -> int:
    """An upper bound in bytes of what the message adds to a pack; Invalid if it cannot be in one."""
    ready = prepare(message)
    return _string_size(len(ready.slot(MAX_COUNT - 1))) + len(encode_entry(ready.entry))


def _header_size(stream: Stream, first: int) -> int:
    """Bytes of the parts of a header without its topics, if times are at their longest."""
    return _fixed_size(stream, first == 1) + len(cbor.head(0, first))


@lru_cache(maxsize=256)
def _fixed_size(stream: Stream, opens: bool) -> int:
    """Of the parts that one pack of a stream does not have longer than the next."""
    link = [MAX_EPOCH, MAX_SEQ, bytes(CHAIN_BYTES)] if opens else bytes(CHAIN_BYTES)
    parts = (VERSION, stream.source, audience_to_wire(stream.audience), stream.cls.code, stream.epoch)
    return len(cbor.encode_sequence(*parts, link, MAX_MS, MAX_MS, MAX_MS))


def _string_size(length: int) -> int:
    return length + (1 if length < 24 else 2 if length < 0x100 else 3 if length < 0x1_0000 else 5)
