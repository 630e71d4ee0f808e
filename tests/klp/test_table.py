"""The topic table, and the forms of the readings on its topics."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.errors import Invalid
from kos_edge.klp import body, cbor, senml, table
from kos_edge.klp.header import MAX_ITEMS, Header
from kos_edge.klp.message import MAX_MESSAGE, MAX_READING, decode_message, encode_message, prepare
from kos_edge.klp.pack import Entry, Form, Message, Packer, Removed, peek, remove, show, unseal, unseal_shown
from kos_edge.klp.packer import packed
from tests.klp.packs import KEY, MESH, STREAM, reading, sealed

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9:._/-]{0,63}", fullmatch=True)
UNITS = st.none() | st.text(min_size=1, max_size=16)
SCALARS = st.floats() | st.integers(-(2**64), 2**64 - 1) | st.text() | st.booleans() | st.binary()
FIELDS = st.tuples(st.tuples(st.none(), UNITS)) | st.lists(
    st.tuples(NAMES, UNITS), min_size=1, max_size=6, unique_by=lambda field: field[0]
).map(tuple)
BOTH = {"t": "Cel", "h": "%RH"}


def both(t: float, h: float, topic: str = "air", **options: Any) -> Message:
    return Message(topic, body.reading({"t": t, "h": h}, fields=BOTH), **options)


@given(FIELDS, st.data())
def test_a_reading_in_its_form_means_the_records_that_it_was(fields: Any, data: st.DataObject) -> None:
    form = Form(fields)
    values = [data.draw(SCALARS) for _ in fields]
    message = Message("air", body.Data(form.records(values), senml.CONTENT_FORMAT), 3, ttl_s=60)
    ready = prepare(message)
    assert ready.entry == Entry("air", form)
    found = decode_message(ready.slot(5), (*map(Entry, "abcde"), ready.entry))
    assert cbor.encode(found.payload.to_wire()) == cbor.encode(message.payload.to_wire())
    assert (found.topic, found.offset_ms, found.ttl_s) == ("air", 3, 60)
    assert ready.alone() == encode_message(message, 0)
    assert len(ready.slot(0)) < len(ready.alone())


@given(FIELDS)
def test_an_entry_comes_back_from_the_wire_as_it_was(fields: Any) -> None:
    for entry in (Entry("air"), Entry("air", Form(fields))):
        wire = cbor.decode(cbor.encode([entry.to_wire()]))
        assert table.table_from_wire(wire) == (entry,)
        assert table.items_of(entry) == _items(wire[0])
        assert table.encode_entry(entry) == cbor.encode(wire[0])


@pytest.mark.parametrize(
    "wire",
    [
        [], ["air"], ["air", 1], ["air", True], ["air", ""], ["air", "x" * 65], ["air", "°" * 33], ["air", ["Cel"]],
        ["air", None, "Cel"], ["air", "", "Cel"], ["air", " ", "Cel"], ["air", "-a", "Cel"], ["air", "a" * 65, "Cel"],
        ["air", "a", "Cel", "b"], ["air", "a", "Cel", "a", "%RH"], ["air", "a", {}], [1, "Cel"], [["air"], "Cel"],
        ["air", *(part for n in range(65) for part in (f"v{n}", None))], 7, None, {"air": "Cel"},
    ],
)  # fmt: skip
def test_what_is_no_entry_is_refused(wire: Any) -> None:
    with pytest.raises(Invalid, match=r"form|topic table"):
        table.table_from_wire([wire])


class Level(IntEnum):
    HIGH = 2


def test_a_number_of_another_class_is_the_number_that_it_is() -> None:
    ready = prepare(Message("a", body.Data([{2: Level.HIGH}], senml.CONTENT_FORMAT)))
    assert ready.slot(0) == prepare(Message("a", body.reading(2))).slot(0)


@pytest.mark.parametrize(
    "payload",
    [
        body.Data(21.5),
        body.Data([{2: 21.5}], "acme"),
        body.Data([{2: 21.5}], senml.CONTENT_FORMAT, version=2),
        body.Data([{2: True}], senml.CONTENT_FORMAT),
        body.Data([{2: "21.5"}], senml.CONTENT_FORMAT),
        body.Data([{4: 1}], senml.CONTENT_FORMAT),
        body.Data([{2: 21.5, 3: "x"}], senml.CONTENT_FORMAT),
        body.Data([{2: 21.5, 6: 10}], senml.CONTENT_FORMAT),
        body.Data([{0: None, 2: 21.5}], senml.CONTENT_FORMAT),
        body.Data([{1: "", 2: 21.5}], senml.CONTENT_FORMAT),
        body.Data([{0: "t", 2: 21.5}, {0: "t", 2: 22}], senml.CONTENT_FORMAT),
        body.Data([{2: 21.5}, {2: 22}], senml.CONTENT_FORMAT),
        body.Data([{-2: "dev"}, {0: "t", 2: 1}], senml.CONTENT_FORMAT),
        body.Data([{0: f"v{n}", 2: n} for n in range(65)], senml.CONTENT_FORMAT),
        body.Data([{3: "x" * 5_000}], senml.CONTENT_FORMAT),
        body.Data([], senml.CONTENT_FORMAT),
        body.Ping(),
    ],
)
def test_what_has_no_form_is_written_out(payload: body.Payload) -> None:
    ready = prepare(Message("air", payload))
    assert ready.entry == Entry("air")
    assert ready.slot(0) == ready.alone() == encode_message(Message("air", payload), 0)
    assert decode_message(ready.slot(0), (ready.entry,)).payload == payload


def test_the_form_stands_in_a_pack_once() -> None:
    one, two = sealed(both(21.5, 48)), sealed(both(21.5, 48), both(22, 49.5))
    assert len(two) - len(one) == len(cbor.byte_string(bytes.fromhex("8500000016f95230")))
    assert two.count(b"%RH") == 1
    assert [one for _, one in unseal(two, KEY.public, MESH).messages()] == [both(21.5, 48), both(22, 49.5)]


def test_forty_readings_of_two_fields_fit_a_datagram() -> None:
    messages = [both(20 + n % 100 / 8, 40 + n % 64 / 4, "bench.air", offset_ms=n * 5) for n in range(200)]
    counts = [packer.count for packer, _ in packed(STREAM, 2, messages)]
    assert min(counts[:-1]) >= 40


def test_a_topic_has_an_entry_for_each_form_of_its_readings_and_one_for_the_rest() -> None:
    messages = [both(1, 2), both(3, 4), reading(5, "air"), Message("air", body.Error("e", "x")), both(6, 7)]
    pack = unseal(sealed(*messages), KEY.public, MESH)
    assert [found for _, found in pack.messages()] == messages
    forms = [prepare(message).entry.form for message in messages]
    assert pack.header.table == (Entry("air", forms[0]), Entry("air", forms[2]), Entry("air"))
    assert pack.header.topics == ("air", "air", "air")
    assert Header.decode(pack.cose.payload) == pack.header


def test_the_form_of_what_was_taken_out_stays_and_a_message_alone_has_it_too() -> None:
    messages = [both(1, 2), reading(5, "soil"), both(3, 4)]
    data = sealed(*messages)
    left = unseal(remove(data, {10: 1, 11: 2}), KEY.public, MESH)
    assert isinstance(left.message(10), Removed)
    assert left.message(12) == messages[2]
    assert left.header == peek(data).header
    assert unseal_shown(show(left.raw, 12), KEY.public, MESH).message() == messages[2]


def test_a_pack_of_more_forms_than_a_header_holds_is_two() -> None:
    names = [[f"{topic}.{n}" for n in range(64)] for topic in range(40)]
    messages = [Message("air", body.reading(dict.fromkeys(each, True))) for each in names]
    packer = Packer(STREAM, 2, budget=60_000)
    taken = sum(packer.add(message) for message in messages)
    assert 1 < taken < len(messages)
    data = packer.seal(prev=bytes(16), mono_ms=0, wall_ms=None, uncertainty_ms=None, key=KEY, mesh=MESH)
    assert peek(data).count == taken
    assert MAX_ITEMS - 150 < _items(cbor.decode(peek(data).cose.payload)) <= MAX_ITEMS


def test_the_longest_reading_in_a_form_can_be_written_out() -> None:
    """What is handed over and then kept as a dead letter is always a message that can be read again."""
    form = Form(tuple((f"{n:064}", "u" * 64) for n in range(64)))
    entry = Entry("a", form)
    start = b"\x98\x43\x00\x00\x00" + bytes(63)
    slot, longer = (
        start + cbor.encode("x" * (size - len(start) - 3)) for size in (MAX_READING, MAX_READING + 1)
    )
    assert len(slot) == MAX_READING
    alone = encode_message(decode_message(slot, (entry,)), 0)
    assert MAX_READING < len(alone) < MAX_MESSAGE
    assert decode_message(alone, (Entry("a"),)) == decode_message(slot, (entry,))
    with pytest.raises(Invalid, match="8193"):
        decode_message(longer, (entry,))


def test_the_first_message_of_many_values_counts_as_the_first_use_of_its_topic() -> None:
    wide = Message("a", body.reading({f"v{n}": n for n in range(64)}))
    assert [found for _, found in peek(sealed(wide, reading(1, "b"))).messages()] == [wide, reading(1, "b")]


def _items(value: Any) -> int:
    return 1 + sum(map(_items, value)) if isinstance(value, list) else 1
