"""One message: what stands in a slot of a pack.

    message = [ topic_index, type, offset_ms, body, ? options ]

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
from kos_edge.klp import body, cbor, readings, topic
from kos_edge.klp.fields import Fields

MAX_MESSAGE = 65_536
"""Bytes of one encoded message at most."""

MAX_OFFSET_MS = 2**40
"""Milliseconds between the base of a pack and a message at most, either way: 34 years."""

MAX_TTL_S = 2**32 - 1

_MAX_CATEGORY = 64
_MAX_CORRELATION = 255
_MAX_TRACE = 255
_SLOT_HEAD = 8
"""Bytes around a tail in its pack: the length of a slot, an array, index, type, and an offset within a minute."""

_SURELY_WHOLE = 4_000
"""Bytes of a message's tail that can neither hold too many items nor be too long, wherever it stands."""

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

    One, or a block that has topic, type, time and options in common. `tails` are their encoded bodies, each with the
    encoded options behind it where they have some.
    """

    topic: str
    type: int
    offset_ms: int
    tails: Sequence[bytes]
    has_options: bool
    ttl_s: int | None

    def head(self, topic_index: int) -> bytes:
        """What stands before each tail in a pack in whose table the topic is at this index."""
        offset = self.offset_ms
        return (
            (b"\x85" if self.has_options else b"\x84")
            + cbor.head(0, topic_index)
            + cbor.head(0, self.type)
            + (cbor.head(0, offset) if offset >= 0 else cbor.head(1, -1 - offset))
        )

    def slot(self, topic_index: int) -> bytes:
        """The bytes of the slot of the newest in a pack in whose table its topic is at this index."""
        return self.head(topic_index) + self.tails[-1]

    @property
    def size(self) -> int:
        """Bytes of their slots, give or take what their places add."""
        return sum(map(len, self.tails)) + len(self.tails) * _SLOT_HEAD

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
    """The message ready for its place in a pack. Invalid if it breaks a rule: nothing is signed that others refuse."""
    topic.check_topic(message.topic)
    payload, offset_ms = message.payload, message.offset_ms
    _check_offset(offset_ms)
    tail = payload.encoded() if isinstance(payload, body.Data) else None
    if tail is None:
        wire = payload.to_wire()
        body.from_wire(payload.TYPE, wire)
        tail = cbor.encode(wire, depth=cbor.MAX_DEPTH - 1)
    options = _encoded_options(message)
    tail += options
    ready = Prepared(message.topic, payload.TYPE, offset_ms, (tail,), bool(options), message.ttl_s)
    if len(tail) > _SURELY_WHOLE:
        data = ready.slot(0)
        if len(data) > MAX_MESSAGE:
            raise Invalid(f"a message of {len(data)} bytes; at most {MAX_MESSAGE} are carried", hint=_HINT)
        cbor.decode(data)
    return ready


def prepare_all(
    name: str,
    payloads: Sequence[body.Payload],
    offsets_ms: Sequence[int],
    ttl_s: int | None = None,
    category: str | None = None,
    correlation: str | None = None,
) -> list[Prepared]:
    """Payloads on one topic ready for their places, each with its offset; Invalid as `prepare`.

    Of readings that were encoded together all that have one time stay together.
    """
    if not isinstance(payloads, readings.Readings):
        return [
            prepare(Message(name, payload, offset_ms, ttl_s, category, correlation))
            for payload, offset_ms in zip(payloads, offsets_ms, strict=True)
        ]
    topic.check_topic(name)
    options = _encoded_options(Message(name, body.Data(None), 0, ttl_s, category, correlation))
    tails = [each + options for each in payloads.bodies] if options else payloads.bodies
    blocks: list[Prepared] = []
    for offset_ms, run in groupby(zip(offsets_ms, tails, strict=True), key=itemgetter(0)):
        _check_offset(offset_ms)
        together = [tail for _, tail in run]
        blocks.append(Prepared(name, body.Data.TYPE, offset_ms, together, bool(options), ttl_s))
    return blocks


def encode_message(message: Message, topic_index: int) -> bytes:
    """The bytes of a slot; Invalid if the message breaks a rule, as in `prepare`."""
    data = prepare(message).slot(topic_index)
    if len(data) > MAX_MESSAGE:
        raise Invalid(f"a message of {len(data)} bytes; at most {MAX_MESSAGE} are carried", hint=_HINT)
    return data


def decode_message(data: bytes, topics: tuple[str, ...]) -> Message:
    """The message in a slot of a pack with this topic table; Invalid if it breaks a rule."""
    parts = cbor.decode(data, limit=MAX_MESSAGE)
    if type(parts) is not list or not 4 <= len(parts) <= 5:
        raise Invalid("a message is an array of four or five")
    index, number, offset_ms, wire = parts[:4]
    if type(index) is not int or not 0 <= index < len(topics):
        raise Invalid("a message whose topic is not in the table of its pack")
    if type(number) is not int:
        raise Invalid("the type of a message is an integer")
    _check_offset(offset_ms)
    payload = body.from_wire(number, wire)
    if len(parts) == 4:
        return Message(topics[index], payload, offset_ms)
    return _with_options(topics[index], payload, offset_ms, parts[4])


def read_slot(seq: int, data: bytes, topics: tuple[str, ...]) -> Message | Malformed:
    """The message in a slot, or why it is none."""
    try:
        return decode_message(data, topics)
    except Invalid as error:
        return Malformed(seq, error.message)


def topic_index(data: bytes) -> int | None:
    """The topic index of an encoded message without decoding the rest; None if it does not begin like one."""
    if len(data) < 5 or data[0] not in (0x84, 0x85):
        return None
    first = data[1]
    if first < 24:
        return first
    if first == 24 and data[2] >= 24:
        return data[2]
    if first == 25 and data[2]:
        return data[2] << 8 | data[3]
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
