from __future__ import annotations

import time
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.errors import Invalid
from kos_edge.klp import body, cbor, cose, envelope, merkle, message
from kos_edge.klp.header import Header
from kos_edge.klp.pack import (
    MAX_COUNT,
    MAX_MESSAGE,
    MAX_PACK,
    UDP_BUDGET,
    Boundary,
    Class,
    Entry,
    Malformed,
    Message,
    Packer,
    Priority,
    Reason,
    Removed,
    Stream,
    chain_hash,
    encode_message,
    message_size,
    peek,
    peek_shown,
    prepare,
    remove,
    seal,
    show,
    unseal,
    unseal_shown,
)
from tests.klp.packs import EPOCH, KEY, MESH, OTHER, STREAM, WALL_MS, reading, sealed
from tests.klp.test_body import PAYLOADS
from tests.klp.test_stream import AUDIENCES

MESSAGES = st.builds(
    Message,
    st.sampled_from(["a", "a.b", "c-d.e_f", "x" * 64]),
    PAYLOADS,
    st.integers(-(2**40), 2**40),
    st.none() | st.integers(1, 2**32 - 1),
    st.none() | st.text(max_size=64),
    st.none() | st.text(max_size=255),
    st.none() | st.text(max_size=255),
)


@given(
    st.lists(MESSAGES, min_size=1, max_size=6),
    AUDIENCES,
    st.integers(0, 15).map(Class.from_code),
    st.integers(2, 2**62),
    st.integers(0, 2**53 - 1),
    st.none() | st.integers(0, WALL_MS),
)
def test_what_is_sealed_is_unsealed(
    messages: list[Message], audience: str, cls: Class, first: int, mono_ms: int, wall_ms: int | None
) -> None:
    stream = Stream(KEY.kid, audience, cls, EPOCH)
    prev = bytes(range(16)) if cls.durable else None
    uncertainty_ms = None if wall_ms is None else 5
    data = sealed(
        *messages,
        stream=stream,
        first=first,
        prev=prev,
        mono_ms=mono_ms,
        wall_ms=wall_ms,
        uncertainty_ms=uncertainty_ms,
    )
    pack = unseal(data, KEY.public, MESH)
    table = tuple(dict.fromkeys(prepare(message).entry for message in messages))
    assert pack.header == Header(stream, first, prev, mono_ms, wall_ms, uncertainty_ms, table)
    assert (pack.first, pack.last, pack.count) == (first, first + len(messages) - 1, len(messages))
    found = list(pack.messages())
    assert [seq for seq, _ in found] == list(range(pack.first, pack.last + 1))
    for (seq, one), given_message in zip(found, messages, strict=True):
        assert isinstance(one, Message)
        assert replace(one, payload=given_message.payload) == given_message
        assert cbor.encode(one.payload.to_wire()) == cbor.encode(given_message.payload.to_wire())
        assert str(pack.position(seq)).endswith(f".{cls.code}.{EPOCH:016x}.{seq}")
    assert pack.raw == data
    assert peek(data) == pack


def test_sealing_twice_gives_the_same_bytes() -> None:
    assert sealed(reading(), reading(3)) == sealed(reading(), reading(3))


@pytest.mark.parametrize("topic", ["air.temperature", "a." * 127 + "a"])
@pytest.mark.parametrize("first", [2, 2**31, 2**32 - 1])
def test_a_pack_of_one_has_at_most_160_bytes_beside_topic_and_body(topic: str, first: int) -> None:
    # Steady state: a durable stream with its chain, wall time with 65 s of uncertainty, 49 days of uptime.
    one = reading(21.37, topic)
    data = sealed(one, first=first, mono_ms=2**32 - 1, wall_ms=WALL_MS, uncertainty_ms=65_535)
    content = len(topic) + len(cbor.encode(one.payload.to_wire()))
    assert len(data) - content <= 160


def test_after_34_years_of_uptime_160_bytes_suffice_beside_encoded_topic_and_body() -> None:
    one = reading(21.37)
    data = sealed(one, first=2**32 - 1, mono_ms=2**40, uncertainty_ms=65_535)
    content = len(cbor.encode(one.topic)) + len(cbor.encode(one.payload.to_wire()))
    assert len(data) - content <= 160


def test_a_reading_more_costs_little() -> None:
    more = len(sealed(reading(21.37), reading(21.38, offset_ms=100))) - len(sealed(reading(21.37)))
    assert more <= 32


@given(st.data())
def test_no_bit_of_a_pack_can_be_flipped(data: st.DataObject) -> None:
    good = bytearray(sealed(reading(), Message("door", body.reading(True), 5, ttl_s=60)))
    bit = data.draw(st.integers(0, len(good) * 8 - 1))
    good[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Invalid):
        unseal(bytes(good), KEY.public, MESH)


@given(st.binary(max_size=64), st.integers(0, 200), st.integers(0, 30))
def test_a_pack_that_is_damaged_anywhere_is_invalid(noise: bytes, at: int, gone: int) -> None:
    good = sealed(reading())
    damaged = good[:at] + noise + good[at + gone :]
    if damaged != good:
        with pytest.raises(Invalid):
            unseal(damaged, KEY.public, MESH)


def test_a_pack_verifies_in_its_mesh_and_with_its_key_alone() -> None:
    data = sealed()
    for public, mesh in [(OTHER.public, MESH), (KEY.public, bytes(32)), (KEY.public, MESH[:31])]:
        with pytest.raises(Invalid):
            unseal(data, public, mesh)


def test_messages_are_not_decoded_to_verify_a_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object) -> Message:
        raise AssertionError("a message was decoded")

    data = sealed(reading(), reading())
    monkeypatch.setattr(message, "decode_message", decode)
    unseal(data, KEY.public, MESH)


FIVE = [reading(n, "ab"[n % 2], offset_ms=n) for n in range(5)]


@pytest.mark.parametrize(
    "gone", [{10: 1}, {14: 2}, {11: 3, 13: 4}, dict.fromkeys(range(10, 15), Reason.DROPPED)]
)
def test_what_is_left_after_a_removal_verifies(gone: dict[int, Reason | int]) -> None:
    whole = unseal(sealed(*FIVE), KEY.public, MESH)
    rest = unseal(remove(whole.raw, gone), KEY.public, MESH)
    for seq, one in rest.messages():
        if seq in gone:
            slot = whole.slots[seq - 10]
            assert isinstance(slot, bytes)
            assert one == Removed(merkle.leaf(slot), Reason(gone[seq]))
        else:
            assert one == whole.message(seq)
    assert rest.chain_hash == whole.chain_hash
    assert rest.count == whole.count


def test_what_is_removed_stays_removed_with_its_first_reason() -> None:
    once = remove(sealed(*FIVE), {11: Reason.EXPIRED})
    twice = remove(once, {11: Reason.REFUSED, 12: Reason.REFUSED})
    found = peek(twice)
    assert [one.reason for _, one in found.messages() if isinstance(one, Removed)] == [2, 3]
    assert remove(remove(sealed(*FIVE), {12: 3}), {11: 2}) == twice


@pytest.mark.parametrize("seq", [9, 15])
def test_only_what_is_in_a_pack_can_be_removed_or_shown(seq: int) -> None:
    data = sealed(*FIVE)
    with pytest.raises(Invalid, match="10 to 14"):
        remove(data, {seq: 1})
    with pytest.raises(Invalid, match="10 to 14"):
        show(data, seq)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
def test_each_message_can_be_shown_alone(count: int) -> None:
    messages = [reading(n, f"t{n % 3}") for n in range(count)]
    data = sealed(*messages)
    for seq, one in peek(data).messages():
        shown = unseal_shown(show(data, seq), KEY.public, MESH)
        assert shown.message() == one
        assert shown.position == peek(data).position(seq)
        assert shown.header == peek(data).header


def test_a_message_is_shown_out_of_what_a_removal_left() -> None:
    rest = remove(sealed(*FIVE), {10: 1, 14: 1})
    assert unseal_shown(show(rest, 12), KEY.public, MESH).message() == FIVE[2]
    with pytest.raises(Invalid, match="taken out"):
        show(rest, 10)


@given(st.data())
def test_no_bit_of_a_shown_message_can_be_flipped(data: st.DataObject) -> None:
    good = bytearray(show(sealed(*FIVE), 12))
    bit = data.draw(st.integers(0, len(good) * 8 - 1))
    good[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Invalid):
        unseal_shown(bytes(good), KEY.public, MESH)


def test_the_next_pack_names_this_one_by_the_hash_of_its_cose_sign1() -> None:
    data = sealed()
    signed = cbor.encode(cbor.decode(data)[0])
    assert peek(data).chain_hash == sha256(signed).digest()[:16] == chain_hash(signed)


def forged(slots: list[bytes], topics: list[str]) -> bytes:
    """A pack that its source signed although no program of ours would."""
    header = Header(STREAM, 10, bytes(16), 0, None, None, tuple(map(Entry, topics)))
    root = merkle.root([merkle.leaf(slot) for slot in slots])
    context = envelope.context(MESH, len(slots), root)
    signed = cose.sign1(header.encode(), cose.Typ.PACK, KEY, external_aad=context)
    return envelope.assemble(signed, map(cbor.byte_string, slots))


def test_a_message_that_its_source_signed_in_error_is_told_by_its_number_and_the_rest_kept() -> None:
    bad = [
        b"",
        b"\x80",
        cbor.encode([7, 2, 0, {2: 1}]),
        cbor.encode([0, 9, 0, {}]),
        cbor.encode([0, 2, 0.5, {2: 1}]),
    ]
    slots = [encode_message(reading(), 0), *bad, encode_message(reading(1), 0)]
    pack = unseal(forged(slots, ["air.temperature"]), KEY.public, MESH)
    found = dict(pack.messages())
    assert found[10] == reading()
    assert found[16] == reading(1)
    for seq in range(11, 16):
        one = found[seq]
        assert isinstance(one, Malformed)
        assert one.seq == seq
        assert one.why
    rest = unseal(remove(pack.raw, dict.fromkeys(range(11, 16), Reason.REFUSED)), KEY.public, MESH)
    assert isinstance(rest.message(12), Removed)
    shown = unseal_shown(show(pack.raw, 13), KEY.public, MESH)
    assert isinstance(shown.message(), Malformed)


def test_the_table_has_the_topics_in_the_order_of_first_use() -> None:
    a, b = encode_message(reading(topic="a"), 0), encode_message(reading(topic="b"), 1)
    assert unseal(forged([a, b, a], ["a", "b"]), KEY.public, MESH).header.topics == ("a", "b")
    for slots, topics in [([b, a], ["a", "b"]), ([a], ["a", "b"]), ([a, a, a], ["a", "b"])]:
        with pytest.raises(Invalid, match="topic table"):
            peek(forged(slots, topics))


def test_a_topic_whose_messages_are_gone_stays_in_the_table() -> None:
    data = sealed(reading(topic="a"), reading(topic="b"), reading(topic="a"))
    assert peek(remove(data, {11: 1})).header.topics == ("a", "b")
    assert peek(remove(data, {10: 1})).header.topics == ("a", "b")


def test_more_than_24_and_255_messages_have_longer_indexes() -> None:
    messages = [reading(n, f"topic{n}") for n in range(MAX_COUNT)]
    data = sealed(*messages)
    assert [one for _, one in unseal(data, KEY.public, MESH).messages()] == messages
    assert message.topic_index(encode_message(messages[0], 300)) == 300


@pytest.mark.parametrize(
    "changed",
    [
        {"first": 0},
        {"first": 2**63},
        {"prev": None},
        {"prev": bytes(15)},
        {"prev": Boundary(1, 1, bytes(16))},
        {"first": 1},
        {"first": 1, "prev": Boundary(EPOCH, 1, bytes(16))},
        {"first": 1, "prev": Boundary(0, 1, bytes(16))},
        {"first": 1, "prev": Boundary(1, 0, bytes(16))},
        {"first": 1, "prev": Boundary(1, 1, bytes(32))},
        {"stream": replace(STREAM, cls=Class(durable=False))},
        {"mono_ms": -1},
        {"mono_ms": 2**53},
        {"mono_ms": 1.5},
        {"wall_ms": None},
        {"uncertainty_ms": None},
        {"wall_ms": -1},
        {"wall_ms": 253_402_300_800_000},
        {"uncertainty_ms": -1},
        {"key": OTHER},
        {"mesh": bytes(31)},
    ],
    ids=repr,
)
def test_a_header_that_breaks_a_rule_is_not_signed(changed: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        sealed(**changed)


def test_the_last_number_of_all_is_not_passed() -> None:
    assert peek(sealed(first=2**63 - 1)).last == 2**63 - 1
    with pytest.raises(Invalid):
        sealed(reading(), reading(), first=2**63 - 1)


@pytest.mark.parametrize(
    "one",
    [
        Message("a..b", body.Data(1)),
        Message("a", body.Data(1), 2**40 + 1),
        Message("a", body.Data(1), ttl_s=0),
        Message("a", body.Data(1), ttl_s=2**32),
        Message("a", body.Data(1), category="c" * 65),
        Message("a", body.Data(1), correlation="c" * 256),
        Message("a", body.Data(1), trace="t" * 256),
        Message("a", body.Data(object())),
        Message("a", body.Data([[[[[[[0]]]]]]])),
        Message("a", body.Data(1, schema="")),
        Message("a", body.Data(1, checksum=bytes(8))),
        Message("a", body.Intent("")),
        Message("a", body.Data([0] * 4_096)),
        Message("a", body.Data(bytes(MAX_MESSAGE))),
    ],
    ids=lambda one: repr(one)[:60],
)
def test_a_message_that_breaks_a_rule_is_not_signed(one: Message) -> None:
    with pytest.raises(Invalid):
        encode_message(one, 0)


def test_the_largest_message_fits_a_pack() -> None:
    frame = len(encode_message(Message("a", body.Data(bytes(60_000))), 0)) - 60_000
    largest = Message("x" * 64, body.Data(bytes(MAX_MESSAGE - frame)))
    data = sealed(largest, stream=Stream(KEY.kid, "group:" + "g" * 64, Class(), 2**63 - 1), first=2**63 - 1)
    assert len(data) <= MAX_PACK
    assert unseal(data, KEY.public, MESH).message(2**63 - 1) == largest
    with pytest.raises(Invalid, match="at most 65536"):
        encode_message(Message("a", body.Data(bytes(MAX_MESSAGE - frame + 1))), 0)


def test_a_pack_that_is_too_large_is_not_signed() -> None:
    with pytest.raises(Invalid, match="more than one pack"):
        sealed(*[Message("a", body.Data(bytes(40_000)))] * 2)
    with pytest.raises(Invalid, match="more than one pack"):
        sealed(*[reading()] * (MAX_COUNT + 1))
    with pytest.raises(Invalid, match="at least one"):
        seal(STREAM, 1, [], prev=None, mono_ms=0, wall_ms=None, uncertainty_ms=None, key=KEY, mesh=MESH)


def _sealed_by(packer: Packer) -> bytes:
    return packer.seal(
        prev=bytes(16), mono_ms=2**53 - 1, wall_ms=WALL_MS, uncertainty_ms=2**53 - 1, key=KEY, mesh=MESH
    )


@given(st.lists(MESSAGES, min_size=1, max_size=40))
def test_a_packer_keeps_within_its_budget(messages: list[Message]) -> None:
    packer = Packer(Stream(KEY.kid, "group:" + "g" * 64, Class(), 2**63 - 1), 2**62)
    for one in messages:
        before = (packer.count, packer.size)
        if packer.add(one):
            assert packer.size <= before[1] + message_size(one)
        else:
            assert (packer.count, packer.size) == before
    data = _sealed_by(packer)
    assert len(data) <= packer.size
    assert len(data) <= UDP_BUDGET or packer.count == 1
    assert peek(data).count == packer.count


def test_a_packer_comes_close_to_its_budget() -> None:
    packer = Packer(STREAM, 2)
    while packer.add(reading(21.37)):
        pass
    assert UDP_BUDGET - 50 < len(_sealed_by(packer)) <= UDP_BUDGET


def test_a_boundary_and_a_beginning_are_told_apart() -> None:
    boundary = Boundary(3, 9, bytes(range(16)))
    assert peek(sealed(first=1, prev=boundary)).header.prev == boundary
    assert peek(sealed(first=1, prev=None)).header.prev is None
    volatile = Stream(KEY.kid, "hub", Class(Priority.LOW, durable=False), EPOCH)
    assert peek(sealed(stream=volatile, prev=None)).header.prev is None


def test_bytes_that_are_no_pack_are_rejected_within_a_millisecond() -> None:
    slots = b"\x98\xff" + b"\x82\x58\x20" + bytes(32) + b"\x01"
    hostile = [
        b"\x82" * 60_000,
        sealed()[:-40] + slots,
        b"\x82\x84" + b"\x58\xff" * 30_000,
        b"\x82\x99\x03\xf0" + b"\x80" * 60_000,
        b"\x85" + sealed(*FIVE)[1:],
    ]
    for data in hostile:
        for read in (peek, peek_shown):
            times = []
            for _ in range(5):
                start = time.process_time()
                with pytest.raises(Invalid):
                    read(data)
                times.append(time.process_time() - start)
            assert min(times) < 0.001
