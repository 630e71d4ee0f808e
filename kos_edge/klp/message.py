"""One message: what stands in a slot of a pack.

    message = [ topic_index, type, offset_ms, body, ? options ]
            / [ topic_index, 0, offset_ms, 1*64 value, ? options ]        a reading in the form of its topic

Its source, audience, class, epoch and sequence number are those of the pack and of its place in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from kos_edge.errors import Invalid
from kos_edge.klp import body, cbor, readings, senml, topic
from kos_edge.klp.fields import Fields
from kos_edge.klp.table import MAX_FIELDS, Entry, Table, split

MAX_MESSAGE = 65_536
"""Bytes of one encoded message at most."""

READING = 0
"""The type of a reading in the form of its topic."""

MAX_READING = 8_192
"""Bytes of such a message at most: written out as data, with every name and unit, it still is a message."""

MAX_OFFSET_MS = 2**40
"""Milliseconds between the base of a pack and a message at most, either way: 34 years."""

MAX_TTL_S = 2**32 - 1

_MAX_CATEGORY = 64
_MAX_CORRELATION = 255
_MAX_TRACE = 255

_SURELY_WHOLE = 4_000
"""Bytes of a message's tail that can neither hold too many items nor be too long, wherever it stands and in whatever
form."""

_MOST_MEMBERS = 3 + MAX_FIELDS + 1

_HINT = "split it, or publish a reference to where the content is"


class Reason(IntEnum):
    """Why a message was taken out of its pack; the numbers are those of the wire."""

    DROPPED = 1
    EXPIRED = 2
    REFUSED = 3
    DAMAGED = 4


@dataclass(frozen=True, slots=True)
class Message:
    """A payload on a topic. `offset_ms` counts from the monotonic base of its pack; `ttl_s` is in seconds.

    `correlation` is the id of the message that this one answers; `trace` is a W3C traceparent or the like.
    """

    topic: str
    payload: body.Payload
    offset_ms: int = 0
    ttl_s: int | None = None
    category: str | None = None
    correlation: str | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Removed:
    """A message that was taken out: its leaf hash, and why."""

    leaf: bytes
    reason: Reason


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message that its source signed and that breaks the grammar: refuse this one and keep the rest."""

    seq: int
    why: str


class Prepared(NamedTuple):
    """Messages that were checked and encoded once; only their places in a pack are still missing.

    One, or a block that has entry, type, time and options in common. `tails` are their encoded bodies, of readings in a
    form their values, each with the encoded options behind it where they have some.
    """

    entry: Entry
    type: int
    offset_ms: int
    tails: Sequence[bytes]
    has_options: bool
    ttl_s: int | None

    @property
    def topic(self) -> str:
        """What they are on."""
        return self.entry.topic

    def head(self, index: int) -> bytes:
        """What stands before each tail in a pack in whose table their entry is at this index."""
        form, offset = self.entry.form, self.offset_ms
        members = 4 if form is None else 3 + len(form.fields)
        return (
            cbor.head(4, members + self.has_options)
            + cbor.head(0, index)
            + cbor.head(0, self.type)
            + (cbor.head(0, offset) if offset >= 0 else cbor.head(1, -1 - offset))
        )

    def slot(self, index: int) -> bytes:
        """The bytes of the slot of the newest in a pack in whose table its entry is at this index."""
        return self.head(index) + self.tails[-1]

    def alone(self) -> bytes:
        """The newest as `encode_message` has it, for where there is no table."""
        slot = self.slot(0)
        if self.entry.form is None:
            return slot
        return encode_message(decode_message(slot, (self.entry,)), 0)

    @property
    def size(self) -> int:
        """Bytes of their slots, give or take what their places add."""
        head = len(self.head(0))
        return sum([_slot_size(head + len(tail)) for tail in self.tails])

    def later(self, ms: int) -> Prepared:
        """The same, counted from a base that was so much earlier; at most as far from it as a message may be."""
        if not ms:
            return self
        offset = max(-MAX_OFFSET_MS, min(self.offset_ms + ms, MAX_OFFSET_MS))
        return self._replace(offset_ms=offset)

    def newest(self) -> Prepared:
        """The last of them alone."""
        return self if len(self.tails) == 1 else self._replace(tails=self.tails[-1:])


def prepare(message: Message) -> Prepared:
    """The message ready for its place in a pack. Invalid if it breaks a rule: nothing is signed that others refuse.

    A reading that has a form is written in it, always.
    """
    topic.check_topic(message.topic)
    _check_offset(message.offset_ms)
    payload, options = message.payload, _encoded_options(message)
    if type(payload) is body.Data and payload.is_reading():
        found = split(payload.content)
        if found is not None:
            form, values = found
            encoded = [cbor.encode_float(v) if type(v) is float else cbor.encode(v) for v in values]
            tail = b"".join(encoded) + options
            if len(tail) <= _SURELY_WHOLE:
                entry = Entry(message.topic, form)
                return Prepared(entry, READING, message.offset_ms, (tail,), bool(options), message.ttl_s)
    return _written_out(message, options)


def _written_out(message: Message, options: bytes) -> Prepared:
    """The message ready for its place, with its body in full."""
    payload = message.payload
    wire = payload.to_wire()
    body.from_wire(payload.TYPE, wire)
    tail = cbor.encode(wire, depth=cbor.MAX_DEPTH - 1) + options
    entry = Entry(message.topic)
    ready = Prepared(entry, payload.TYPE, message.offset_ms, (tail,), bool(options), message.ttl_s)
    if len(tail) > _SURELY_WHOLE:
        data = ready.slot(0)
        if len(data) > MAX_MESSAGE:
            raise _too_large(len(data))
        cbor.decode(data)
    return ready


def prepare_all(
    name: str,
    payloads: Sequence[body.Payload],
    offsets_ms: Sequence[int],
    ttl_s: int | None = None,
    category: str | None = None,
    correlation: str | None = None,
    trace: str | None = None,
) -> list[Prepared]:
    """Payloads on one topic ready for their places, each with its offset; Invalid as `prepare`.

    Of readings that were encoded together all that have one time stay together.
    """
    if not isinstance(payloads, readings.Readings):
        return [
            prepare(Message(name, payload, offset_ms, ttl_s, category, correlation, trace))
            for payload, offset_ms in zip(payloads, offsets_ms, strict=True)
        ]
    topic.check_topic(name)
    entry = Entry(name, payloads.form)
    options = _encoded_options(Message(name, body.Data(None), 0, ttl_s, category, correlation, trace))
    tails = [each + options for each in payloads.tails] if options else payloads.tails
    blocks: list[Prepared] = []
    for offset_ms, run in groupby(zip(offsets_ms, tails, strict=True), key=itemgetter(0)):
        _check_offset(offset_ms)
        together = [tail for _, tail in run]
        blocks.append(Prepared(entry, READING, offset_ms, together, bool(options), ttl_s))
    return blocks


def encode_message(message: Message, topic_index: int) -> bytes:
    """The bytes of a slot with the body in full, as a message is kept that has left its pack, and the forms with it.

    Invalid if the message breaks a rule.
    """
    topic.check_topic(message.topic)
    _check_offset(message.offset_ms)
    data = _written_out(message, _encoded_options(message)).slot(topic_index)
    if len(data) > MAX_MESSAGE:
        raise _too_large(len(data))
    return data


def decode_message(data: bytes, table: Table) -> Message:
    """The message in a slot of a pack with this topic table; Invalid if it breaks a rule."""
    parts = cbor.decode(data, limit=MAX_MESSAGE)
    if type(parts) is not list or len(parts) < 4:
        raise Invalid("a message is an array of four or more")
    index, number, offset_ms = parts[:3]
    if type(index) is not int or not 0 <= index < len(table):
        raise Invalid("a message whose topic is not in the table of its pack")
    if type(number) is not int:
        raise Invalid("the type of a message is an integer")
    _check_offset(offset_ms)
    name, form = table[index]
    payload: body.Payload
    if number == READING:
        if form is None:
            raise Invalid("a reading without its names and units, on a topic without a form")
        if len(data) > MAX_READING:
            raise Invalid(f"a reading of {len(data)} bytes; in a form {MAX_READING} are carried")
        behind = 3 + len(form.fields)
        if not behind <= len(parts) <= behind + 1:
            raise Invalid("a reading that has not as many values as its form")
        payload = body.Data(form.records(parts[3:behind]), senml.CONTENT_FORMAT)
    else:
        behind = 4
        if form is not None:
            raise Invalid("a message that is no reading, on a topic with a form")
        if len(parts) > 5:
            raise Invalid("a message is an array of four or five")
        payload = body.from_wire(number, parts[3])
    if len(parts) == behind:
        return Message(name, payload, offset_ms)
    return _with_options(name, payload, offset_ms, parts[behind])


def read_slot(seq: int, data: bytes, table: Table) -> Message | Malformed:
    """The message in a slot, or why it is none."""
    try:
        return decode_message(data, table)
    except Invalid as error:
        return Malformed(seq, error.message)


def topic_index(data: bytes) -> int | None:
    """The topic index of an encoded message without decoding the rest; None if it does not begin like one."""
    if len(data) < 5:
        return None
    if 0x84 <= data[0] <= 0x97:
        at = 1
    elif data[0] == 0x98 and 24 <= data[1] <= _MOST_MEMBERS:
        at = 2
    else:
        return None
    first = data[at]
    if first < 24:
        return first
    if first == 24 and data[at + 1] >= 24:
        return data[at + 1]
    if first == 25 and data[at + 1]:
        return data[at + 1] << 8 | data[at + 2]
    return None


def _encoded_options(message: Message) -> bytes:
    """The options of a message, nothing if it has none; Invalid if one breaks a rule."""
    options: dict[int, Any] = {}
    if message.ttl_s is not None:
        options[1] = message.ttl_s
    if message.category is not None:
        options[2] = message.category
    if message.correlation is not None:
        options[3] = message.correlation
    if message.trace is not None:
        options[4] = message.trace
    if not options:
        return b""
    _with_options(message.topic, message.payload, message.offset_ms, options)
    return cbor.encode(options)


def _with_options(name: str, payload: body.Payload, offset_ms: int, wire: Any) -> Message:
    options = Fields(wire, "the options of a message")
    ttl_s = options.uint(1, MAX_TTL_S, 1)
    category, correlation = options.text(2, _MAX_CATEGORY), options.text(3, _MAX_CORRELATION)
    trace = options.text(4, _MAX_TRACE)
    options.done()
    if not wire:
        raise Invalid("options of a message that are empty are left out")
    return Message(name, payload, offset_ms, ttl_s, category, correlation, trace)


def _check_offset(offset_ms: Any) -> None:
    if type(offset_ms) is not int or abs(offset_ms) > MAX_OFFSET_MS:
        raise Invalid("the time offset of a message is an integer within 2^40 ms")


def _slot_size(length: int) -> int:
    """Bytes of a slot of this length in its pack."""
    return length + (1 if length < 24 else 2 if length < 0x100 else 3 if length < 0x1_0000 else 5)


def _too_large(length: int) -> Invalid:
    return Invalid(f"a message of {length} bytes; at most {MAX_MESSAGE} are carried", hint=_HINT)
