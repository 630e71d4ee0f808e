"""Plain readings by their bytes: what is recognised is what decoding would have taken, and nothing else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.klp import senml
from kos_edge.klp.body import Data
from kos_edge.klp.message import Malformed, Message, decode_message, encode_message, prepare, read_slot
from kos_edge.klp.plain import unsure
from kos_edge.klp.table import Entry, Table, form_of

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**40), 2**40)
VALUES = st.dictionaries(st.from_regex(r"[A-Za-z0-9]{1,23}", fullmatch=True), NUMBERS, min_size=1, max_size=6)
WAYS = pytest.mark.parametrize("in_form", [True, False], ids=["in a form", "written out"])


def slot(content: object, in_form: bool, offset_ms: int = 7) -> tuple[bytes, Table]:
    """A reading as the only message of a pack, and the table of that."""
    message = Message("air", Data(content, senml.CONTENT_FORMAT), offset_ms=offset_ms)
    if not in_form:
        return encode_message(message, 0), (Entry("air"),)
    ready = prepare(message)
    assert ready.entry.form is not None
    return ready.slot(0), (ready.entry,)


def is_plain_reading(data: bytes, table: Table) -> bool:
    return unsure([data], table) == []


def is_decoded(data: bytes, table: Table) -> bool:
    message = read_slot(0, data, table)
    return not isinstance(message, Malformed) and message == Message(
        message.topic, message.payload, message.offset_ms
    )


@WAYS
@given(VALUES, st.sampled_from([None, "Cel", "%RH"]), st.integers(-70_000, 70_000))
def test_readings_come_back_as_they_were(
    in_form: bool, values: dict[str, float], unit: str | None, offset_ms: int
) -> None:
    records = senml.records(values, unit)
    message = decode_message(*slot(records, in_form, offset_ms))
    assert message.payload.to_wire() == {1: senml.CONTENT_FORMAT, 2: records}
    assert message.offset_ms == offset_ms


@WAYS
@given(st.integers(-65_000_000, 65_000_000).map(lambda n: n / 1000), st.sampled_from([None, "Cel"]))
def test_a_reading_with_one_value_is_recognised(in_form: bool, value: float, unit: str | None) -> None:
    assert is_plain_reading(*slot(senml.records(value, unit), in_form))


@WAYS
@given(VALUES, st.data())
def test_what_is_recognised_is_what_the_decoder_takes(
    in_form: bool, values: dict[str, float], data: st.DataObject
) -> None:
    """One or two bytes are changed: where it is still recognised it still decodes."""
    sealed, table = slot(senml.records(values, "Cel"), in_form)
    raw = bytearray(sealed)
    for _ in range(data.draw(st.integers(0, 2))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    others = (Entry("soil"), Entry("soil", form_of(((None, None),))))
    for each in (table, (*others, *table), (*table, *others)):
        if is_plain_reading(bytes(raw), each):
            assert is_decoded(bytes(raw), each)


@WAYS
@pytest.mark.parametrize("width", ["e", "f", "d"])
@given(bits=st.binary(min_size=8, max_size=8))
def test_a_number_is_recognised_in_its_shortest_form_only(in_form: bool, width: str, bits: bytes) -> None:
    size = struct.calcsize(width)
    head = {"e": b"\xf9", "f": b"\xfa", "d": b"\xfb"}[width]
    sealed, table = slot([{2: 1}], in_form)
    raw = sealed[:-1] + head + bits[:size]
    assert not is_plain_reading(raw, table) or is_decoded(raw, table)


@WAYS
@pytest.mark.parametrize(
    "head", [b"\xfa\x41\x48\x00\x00", b"\xfb\x40\x29\x00\x00\x00\x00\x00\x00", b"\x19\x00\x18"]
)
def test_a_number_that_is_longer_than_needed_is_left_to_the_decoder(in_form: bool, head: bytes) -> None:
    sealed, table = slot([{2: 1}], in_form)
    raw = sealed[:-1] + head
    assert not is_plain_reading(raw, table)
    assert not is_decoded(raw, table)


@WAYS
def test_a_topic_that_is_not_in_the_table_is_not_recognised(in_form: bool) -> None:
    sealed, table = slot([{2: 1}], in_form)
    raw = sealed[:1] + b"\x01" + sealed[2:]
    assert is_plain_reading(raw, (Entry("air"), *table))
    assert not is_plain_reading(raw, table)


def test_a_reading_is_recognised_in_its_own_form_only() -> None:
    one, two = form_of(((None, "Cel"),)), form_of((("t", "Cel"), ("h", "%RH")))
    raw, table = slot(senml.records({"t": 1, "h": 2}), in_form=True)
    assert is_plain_reading(raw, (Entry("soil", two),))
    for other in (Entry("air", one), Entry("air")):
        assert not is_plain_reading(raw, (other,))
        assert not is_decoded(raw, (other,))
    assert is_plain_reading(raw, table)


@pytest.mark.parametrize("content", ["text", [{2: True}], [{3: "on"}], [], [{0: "a"}], {"a": 1}])
def test_other_content_is_left_to_the_decoder(content: object) -> None:
    raw, table = slot(content, in_form=False)
    assert not is_plain_reading(raw, table)
    assert is_decoded(raw, table)


@pytest.mark.parametrize(
    "content", [[{3: "on"}], [{4: False}], [{8: b"x"}], [{2: float("inf")}], [{2: 2**40}]]
)
def test_a_value_that_is_no_usual_number_is_left_to_the_decoder(content: object) -> None:
    raw, table = slot(content, in_form=True)
    assert not is_plain_reading(raw, table)
    assert is_decoded(raw, table)


def test_a_reading_of_more_values_than_are_recognised_is_left_to_the_decoder() -> None:
    for count in (20, 21, 64):
        raw, table = slot([{0: f"v{n}", 2: n} for n in range(count)], in_form=True)
        assert is_plain_reading(raw, table) is (count == 20)
        assert is_decoded(raw, table)


def test_the_slots_that_are_not_certain_are_named_by_their_indexes() -> None:
    (plain, table), (odd, _) = slot(senml.records(21.5), in_form=True), slot("text", in_form=False)
    assert unsure([plain, odd, plain, None, odd, b"", b"\x84"], table) == [1, 3, 4, 5, 6]
