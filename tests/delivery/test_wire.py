"""What members say to each other: good bodies are read back, everything else is Invalid and nothing else escapes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.delivery import wire
from kos_edge.delivery.carried import read_record
from kos_edge.errors import Invalid
from kos_edge.klp import cbor
from tests.vectors import generate_delivery

READERS: dict[str, Callable[[bytes], object]] = {
    "ship": wire.decode_ship,
    "answer": wire.decode_answer,
    "sync": wire.decode_sync,
    "synced": wire.decode_synced,
    "carried-record": read_record,
}
VECTORS = Path(__file__).parent.parent / "vectors" / "delivery"


def vectors() -> list[dict[str, Any]]:
    found = []
    for path in sorted(VECTORS.glob("*.json")):
        found += json.loads(path.read_text())
    return [vector for vector in found if vector["cddl"] in READERS]


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["name"])
def test_every_vector_is_judged_as_it_says(vector: dict[str, Any]) -> None:
    read = READERS[vector["cddl"]]
    data = bytes.fromhex(vector["hex"])
    if vector["valid"]:
        read(data)
    else:
        with pytest.raises(Invalid):
            read(data)


def test_the_vectors_are_what_the_generator_makes() -> None:
    for name, text in generate_delivery.render().items():
        assert (VECTORS / name).read_text() == text


@pytest.mark.parametrize("name", READERS)
@given(data=st.binary(max_size=200))
def test_bytes_of_any_kind_raise_invalid_and_nothing_else(name: str, data: bytes) -> None:
    with contextlib.suppress(Invalid):
        READERS[name](data)


_values = st.recursive(
    st.none() | st.integers(-5, 2**63) | st.binary(max_size=20) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.integers(0, 5), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize("name", READERS)
@given(value=_values)
def test_cbor_of_any_shape_raises_invalid_and_nothing_else(name: str, value: object) -> None:
    with contextlib.suppress(Invalid):
        READERS[name](cbor.encode(value))


def test_a_receipt_covers_what_it_says_and_no_more() -> None:
    receipt = wire.Receipt(generate_delivery.STREAM, 10, ((13, 20),))
    assert receipt.covers(1, 10)
    assert receipt.covers(14, 20)
    assert not receipt.covers(10, 11)
    assert not receipt.covers(12, 13)


def test_an_answer_with_many_ranges_still_fits_a_datagram_and_keeps_the_nearest() -> None:
    ranges = tuple((number, number) for number in range(2**33, 2**33 + 128, 2))
    refusals = tuple(wire.Refusal(number, 3) for number in range(90))
    answer = wire.Answer((wire.Receipt(generate_delivery.STREAM, 100, ranges, refusals),))
    data = wire.encode_answer(answer)
    assert len(data) <= wire.ANSWER_BYTES
    (receipt,) = wire.decode_answer(data).receipts
    assert receipt.ranges == ranges[: len(receipt.ranges)]
    assert receipt.refusals == refusals


@pytest.mark.parametrize("refused", [0, 32])
def test_an_answer_with_many_streams_fits_a_datagram_and_the_first_are_in_it(refused: int) -> None:
    said = tuple(wire.Refusal(2**33 + number, 3) for number in range(refused))
    ranges = tuple((number, number) for number in range(6_000, 6_128, 2))
    receipts = tuple(
        wire.Receipt(replace(generate_delivery.STREAM, epoch=epoch << 32), 5_000, ranges, said)
        for epoch in range(1, 41)
    )
    answer, synced = wire.Answer(receipts), wire.Synced(receipts[:12], 1 << 40)
    for data, read in (
        (wire.encode_answer(answer), wire.decode_answer),
        (wire.encode_synced(synced), wire.decode_synced),
    ):
        assert len(data) <= wire.ANSWER_BYTES
        assert read(data).receipts[0].stream == receipts[0].stream


def test_over_tcp_nothing_is_left_out() -> None:
    said = tuple(wire.Refusal(number, 3) for number in range(wire.MAX_REFUSALS))
    answer = wire.Answer((wire.Receipt(generate_delivery.STREAM, 5_000, (), said),) * 5)
    assert wire.decode_answer(wire.encode_answer(answer, wire.STREAM_ANSWER_BYTES)) == answer


def test_an_answer_is_never_more_than_can_be_read() -> None:
    ranges = tuple((number, number) for number in range(5_002, 5_002 + 2 * wire.MAX_RANGES, 2))
    said = tuple(wire.Refusal(number, 3) for number in range(wire.MAX_REFUSALS))
    receipts = (wire.Receipt(generate_delivery.STREAM, 5_000, ranges, said),) * wire.MAX_RECEIPTS
    read = wire.decode_answer(wire.encode_answer(wire.Answer(receipts), wire.STREAM_ANSWER_BYTES))
    assert read.receipts[0].held == 5_000
    assert wire.decode_synced(wire.encode_synced(wire.Synced(receipts, 1), 64_000)).receipts
