"""KLP: whoever reaches a node may send anything as a pack."""

from __future__ import annotations

import json

from kos_edge.errors import Invalid
from kos_edge.klp import body, cbor, cose, identity, jsonform, people, topic
from kos_edge.klp.message import Message, decode_message, encode_message, prepare
from kos_edge.klp.pack import Malformed, Position, Removed, peek, peek_shown
from kos_edge.klp.plain import unsure
from kos_edge.klp.table import Entry, form_of
from kos_edge.klp.tombstone import MAX_TOMBSTONE, peek_tombstone

_BOTH = form_of((("t", "Cel"), ("h", None)))
TABLE = (Entry("air.temperature"), Entry("b", form_of(((None, "Cel"),))), Entry("air.both", _BOTH))


def fuzz_cbor(data: bytes) -> None:
    """What is accepted is its own one encoding, alone and in a sequence."""
    value = cbor.decode(data)
    assert cbor.encode(value) == data
    assert cbor.encode_sequence(*cbor.decode_sequence(data + data)) == data + data


def fuzz_cbor_as_json(data: bytes) -> None:
    """Every value goes to JSON and back without loss."""
    value = cbor.decode(data)
    text = json.dumps(jsonform.to_json(value), allow_nan=False)
    assert cbor.encode(jsonform.from_json(json.loads(text))) == data


def fuzz_cose(data: bytes) -> None:
    """A COSE_Sign1 is kept as received, and no signature that nobody made verifies."""
    signed = cose.read_sign1(data)
    assert signed.raw == data
    try:
        signed.verify(bytes(31) + b"\x40", typ=signed.typ, external_aad=b"fuzz")
    except Invalid:
        return
    raise AssertionError("it verifies")


def fuzz_pack(data: bytes) -> None:
    """A pack is kept as received; what is left of it and what is shown of it can be read."""
    pack = peek(data)
    assert pack.raw == data
    assert pack.header.encode() == pack.cose.payload
    left = peek(pack.remove(dict.fromkeys(range(pack.first, pack.last + 1), 1)))
    assert (left.chain_hash, left.leaves, left.header) == (pack.chain_hash, pack.leaves, pack.header)
    for seq, one in pack.messages():
        assert isinstance(one, (Message, Removed, Malformed))
        assert Position.parse(str(pack.position(seq))) == pack.position(seq)
    if not isinstance(pack.message(pack.first), Removed):
        assert peek_shown(pack.show(pack.first)).message() == pack.message(pack.first)
    json.dumps(people.pack_to_json(pack), allow_nan=False)


def fuzz_tombstone(data: bytes) -> None:
    """A tombstone is kept as received, is for a run of numbers, and can be shown."""
    tombstone = peek_tombstone(data)
    assert tombstone.raw == data
    assert len(data) <= MAX_TOMBSTONE
    assert 1 <= tombstone.first <= tombstone.last < 2**63
    assert tombstone.stream.cls.durable
    json.dumps(people.tombstone_to_json(tombstone), allow_nan=False)


def fuzz_shown(data: bytes) -> None:
    """A message shown alone has its header and path, and a place within its pack."""
    shown = peek_shown(data)
    assert shown.header.first <= shown.seq < shown.header.first + shown.count
    json.dumps(people.shown_to_json(shown), allow_nan=False)


def fuzz_message(data: bytes) -> None:
    """A message survives being written out, being put into a form again, and JSON."""
    message = decode_message(data, TABLE)
    alone = encode_message(message, 0)
    assert decode_message(alone, (Entry(message.topic),)) == message or "nan" in repr(message)
    ready = prepare(message)
    assert decode_message(ready.slot(0), (ready.entry,)) == message or "nan" in repr(message)
    assert ready.alone() == alone
    index, *parts = cbor.decode(data)
    form = TABLE[index].form
    if form is not None and len(data) < 4_000:
        assert ready.entry == TABLE[index]
        assert cbor.encode(cbor.decode(ready.slot(0))[3 : 3 + len(form.fields)]) == cbor.encode(
            parts[2 : 2 + len(form.fields)]
        )
    if not unsure([data], TABLE):
        assert not any((message.ttl_s, message.category, message.correlation, message.trace))
    text = json.dumps(body.to_json(message.payload), allow_nan=False)
    back = body.from_json(message.payload.NAME, json.loads(text))
    assert cbor.encode(back.to_wire()) == cbor.encode(message.payload.to_wire())


def fuzz_draft(data: bytes) -> None:
    """A message written by a person is one that can be encoded, or Invalid."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    draft = people.draft_from_json(value)
    decode_message(encode_message(draft.message, 0), (Entry(draft.message.topic),))


def fuzz_names(data: bytes) -> None:
    """Ids, kids and topics that are accepted are written again in the same way."""
    text = data.decode("utf-8", "replace")
    for read in (_id, _kid, topic.check_topic, topic.check_filter):
        try:
            again = read(text)
        except Invalid:
            continue
        assert again is None or again == text


def fuzz_public_key(data: bytes) -> None:
    """A key is good or Invalid, and never has a signature that nobody made."""
    identity.check_public(data)
    try:
        identity.verify(data, bytes(64), b"fuzz")
    except Invalid:
        return
    raise AssertionError("it verifies")


def _id(text: str) -> str:
    return str(Position.parse(text))


def _kid(text: str) -> str:
    namespace, kid = identity.parse_kid(text)
    return identity.kid_text(kid, namespace)


SEEDS = [
    bytes.fromhex("84010000f94d60"),
    bytes.fromhex("86020007f94d601830a101183c"),
    bytes.fromhex("840100006161"),
    b'{"topic": "a.b", "type": "data", "body": {"schema": 112, "content": [{"u": "Cel", "v": 21.5}]}}',
    b'{"topic": "a", "type": "intent", "body": {"action": "go", "params": {"n": {"$float": "nan"}}}}',
    b"000102030405060708090a0b0c0d0e0f.group:a_1.6.0000000700abcdef.42",
    b"kid:device:000102030405060708090a0b0c0d0e0f",
    b"air.#.*.temperature",
]
