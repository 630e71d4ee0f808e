"""Readings of a block: encoded straight from their values they are what each makes by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.agents.payload import payload_of, payloads_of
from kos_edge.errors import Invalid
from kos_edge.klp import readings, senml
from kos_edge.klp.message import MAX_OFFSET_MS, Message, encode_message, prepare, prepare_all
from kos_edge.klp.pack import Class, Stream, peek, sealed
from kos_edge.klp.packer import packed
from kos_edge.klp.readings import Readings
from tests.klp.packs import KEY, MESH

UNITS = {"a": "Cel", "b": None, "c": "%RH"}
NUMBERS = st.floats() | st.integers(-(2**65), 2**65)
ODD = st.none() | st.booleans() | st.text(max_size=3) | st.binary(max_size=3)
NAMES = st.sampled_from(["a", "b", "c", "d", "", "not a name", 1, None])
VALUES = st.lists(NUMBERS | ODD | st.dictionaries(NAMES, NUMBERS | ODD, max_size=4), min_size=1, max_size=4)
STREAM = Stream(KEY.kid, "hub", Class(), 1 << 32)


@given(VALUES, st.sampled_from([None, "Cel", "°C", ""]), st.sampled_from([None, UNITS, {}]))
def test_what_is_encoded_straight_is_what_each_value_makes(
    values: list[Any], unit: str | None, fields: Mapping[str, str | None] | None
) -> None:
    block = readings.encode(values, unit, fields)
    if block is not None:
        payloads = [payload_of(value, unit, fields) for value in values]
        assert all(payload is not None for payload in payloads)
        singly = [prepare(Message("air", payload)) for payload in payloads if payload is not None]
        assert [(block.form, tail) for tail in block.tails] == [
            (each.entry.form, each.tails[0]) for each in singly
        ]
        assert list(block) == payloads


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ([20.5, 21, -3], None),
        ([{"a": 20.5, "b": 7}, {"a": 1, "b": -0.0}, {"a": 1e300, "b": 2}], UNITS),
        ([{"a": 20.5}, {"a": 1}], None),
        ([{"a": 2**64 - 1}], None),
    ],
)
def test_blocks_of_numbers_are_encoded_straight(
    values: list[Any], fields: Mapping[str, str | None] | None
) -> None:
    assert isinstance(payloads_of(values, None, fields), Readings)


@pytest.mark.parametrize("other", [{"a": 1}, {"b": 1, "a": 2}, {"a": 1, "b": 2, "c": 3}, 5])
def test_what_has_other_names_than_the_first_of_a_block_is_encoded_by_itself(other: Any) -> None:
    assert readings.encode([{"a": 20.5, "b": 7}, other]) is None
    payloads = payloads_of([{"a": 20.5, "b": 7}, other])
    assert [payload.to_wire()[2] for payload in payloads] == [
        senml.records({"a": 20.5, "b": 7}),
        senml.records(other),
    ]


@pytest.mark.parametrize("value", [float("nan"), {"a": float("inf")}, {"d": 1.0}, 5, None])
def test_a_wrong_value_in_a_block_is_named_as_it_is_alone(value: Any) -> None:
    with pytest.raises(Invalid):
        payloads_of([{"a": 1.0}, value], None, UNITS)


def test_a_value_without_a_name_is_not_one_whose_name_is_none() -> None:
    assert readings.encode([{None: 1.0}]) is None
    assert readings.encode([1.0, {None: 1.0}]) is None


@given(st.lists(st.sampled_from([0, 0, 5, -70_000]), min_size=1, max_size=40), st.sampled_from([None, 60]))
def test_a_block_is_packed_as_its_messages_are(offsets: list[int], ttl_s: int | None) -> None:
    values = [{"a": number / 7, "b": number} for number in range(len(offsets))]
    block = payloads_of(values)
    together = prepare_all("air", block, offsets, ttl_s, "weather", None)
    singly = [
        prepare(Message("air", payload, offset, ttl_s, "weather"))
        for payload, offset in zip(block, offsets, strict=True)
    ]
    assert _packs([each.later(3) for each in together]) == _packs([each.later(3) for each in singly])
    assert sum(each.size for each in together) == sum(each.size for each in singly)
    assert sum(len(each.tails) for each in together) == len(offsets)


def test_the_newest_of_a_block_stands_for_itself() -> None:
    [block] = prepare_all("air", payloads_of([1.0, 2.0, 3.0]), [7, 7, 7])
    newest = payload_of(3.0)
    assert newest is not None
    assert len(block.newest().tails) == 1
    assert block.newest().slot(0) == prepare(Message("air", newest, 7)).slot(0)
    assert block.alone() == encode_message(Message("air", newest, 7), 0)


def test_the_time_of_a_block_is_checked_as_that_of_a_message() -> None:
    with pytest.raises(Invalid):
        prepare_all("air", payloads_of([1.0]), [MAX_OFFSET_MS + 1])
    with pytest.raises(Invalid):
        prepare_all("no topic", payloads_of([1.0]), [0])
    with pytest.raises(Invalid):
        prepare_all("air", payloads_of([1.0]), [0], ttl_s=0)


def _packs(messages: list[Any]) -> list[tuple[bytes, int | None]]:
    found = []
    for packer, ttl in packed(STREAM, 1, messages):
        packer.seal(
            prev=None if packer.first == 1 else bytes(16),
            mono_ms=1,
            wall_ms=None,
            uncertainty_ms=None,
            key=KEY,
            mesh=MESH,
        )
        pack = sealed(packer)
        assert len(pack.raw) <= 1_000
        assert peek(pack.raw) == pack
        found.append((pack.raw, ttl))
    return found
