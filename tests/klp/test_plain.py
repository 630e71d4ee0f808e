"""Plain readings by their bytes: what is recognised is what decoding would have taken, and nothing else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.errors import Invalid
from kos_edge.klp import cbor, senml
from kos_edge.klp.body import Data
from kos_edge.klp.message import Message, decode_message, encode_message
from kos_edge.klp.plain import unsure

TOPICS = ("air", "soil")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**40), 2**40)
VALUES = st.dictionaries(st.from_regex(r"[A-Za-z0-9]{1,23}", fullmatch=True), NUMBERS, min_size=1, max_size=6)


def slot(content: object, offset_ms: int = 7) -> bytes:
    return encode_message(Message("air", Data(content, senml.CONTENT_FORMAT), offset_ms=offset_ms), 0)


def is_plain_reading(data: bytes, topics: int) -> bool:
    return unsure([data], topics) == []


def is_decoded(data: bytes) -> bool:
    try:
        message = decode_message(data, TOPICS)
    except Invalid:
        return False
    return isinstance(message.payload, Data) and message == Message(
        message.topic, message.payload, message.offset_ms
    )


@given(VALUES, st.sampled_from([None, "Cel", "%RH"]), st.integers(-70_000, 70_000))
def test_parts_that_recur_give_what_the_encoder_gives(
    values: dict[str, float], unit: str | None, offset_ms: int
) -> None:
    records = senml.records(values, unit)
    assert senml.encode(records) == cbor.encode(records)
    data = slot(records, offset_ms)
    assert decode_message(data, TOPICS).payload.to_wire() == {1: senml.CONTENT_FORMAT, 2: records}


@given(st.integers(-65_000_000, 65_000_000).map(lambda n: n / 1000), st.sampled_from([None, "Cel"]))
def test_a_reading_with_one_value_is_recognised(value: float, unit: str | None) -> None:
    assert is_plain_reading(slot(senml.records(value, unit)), 1)


@given(VALUES, st.data())
def test_what_is_recognised_is_what_the_decoder_takes(values: dict[str, float], data: st.DataObject) -> None:
    """One or two bytes are changed: where it is still recognised it still decodes."""
    raw = bytearray(slot(senml.records(values, "Cel")))
    for _ in range(data.draw(st.integers(0, 2))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    if is_plain_reading(bytes(raw), len(TOPICS)):
        assert is_decoded(bytes(raw))


@pytest.mark.parametrize("width", ["e", "f", "d"])
@given(bits=st.binary(min_size=8, max_size=8))
def test_a_number_is_recognised_in_its_shortest_form_only(width: str, bits: bytes) -> None:
    size = struct.calcsize(width)
    head = {"e": b"\xf9", "f": b"\xfa", "d": b"\xfb"}[width]
    raw = slot([{2: 1}])[:-1] + head + bits[:size]
    assert not is_plain_reading(raw, 1) or is_decoded(raw)


@pytest.mark.parametrize(
    "head", [b"\xfa\x41\x48\x00\x00", b"\xfb\x40\x29\x00\x00\x00\x00\x00\x00", b"\x19\x00\x18"]
)
def test_a_number_that_is_longer_than_needed_is_left_to_the_decoder(head: bytes) -> None:
    raw = slot([{2: 1}])[:-1] + head
    assert not is_plain_reading(raw, 1)
    assert not is_decoded(raw)


def test_a_topic_that_is_not_in_the_table_is_not_recognised() -> None:
    raw = encode_message(Message("air", Data([{2: 1}], senml.CONTENT_FORMAT)), 1)
    assert is_plain_reading(raw, 2)
    assert not is_plain_reading(raw, 1)


@pytest.mark.parametrize("content", ["text", [{2: True}], [{3: "on"}], [], [{0: "a"}], {"a": 1}])
def test_other_content_is_left_to_the_decoder(content: object) -> None:
    raw = encode_message(Message("air", Data(content, senml.CONTENT_FORMAT)), 0)
    assert not is_plain_reading(raw, 1)
    assert is_decoded(raw)


def test_the_slots_that_are_not_certain_are_named_by_their_indexes() -> None:
    plain, odd = slot(senml.records(21.5)), slot("text")
    assert unsure([plain, odd, plain, None, odd], 1) == [1, 3, 4]
