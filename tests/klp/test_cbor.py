from __future__ import annotations

import math
import struct
import time
import tracemalloc
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kos_edge.errors import Invalid
from kos_edge.klp import cbor

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(cbor.MIN_INT, cbor.MAX_INT)
    | st.floats()
    | st.floats(width=16)
    | st.floats(width=32)
    | st.text(max_size=40)
    | st.binary(max_size=40)
)
KEYS = st.integers(cbor.MIN_INT, cbor.MAX_INT) | st.text(max_size=20) | st.binary(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)


def shallow(value: Any, depth: int = cbor.MAX_DEPTH) -> bool:
    if isinstance(value, (list, dict)):
        members = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(shallow(member, depth - 1) for member in members)
    return True


@given(VALUES.filter(shallow))
def test_what_is_encoded_comes_back_and_is_encoded_alike_again(value: Any) -> None:
    data = cbor.encode(value)
    assert repr(cbor.decode(data)) == repr(_sorted(value))
    assert cbor.encode(cbor.decode(data)) == data


@given(VALUES.filter(shallow))
def test_another_library_reads_the_same_value(value: Any) -> None:
    assert repr(cbor2.loads(cbor.encode(value))) == repr(_sorted(value))


@given(st.binary(max_size=64))
@example(b"\xa2\x61b\x01\x61a\x02")
@example(bytes.fromhex("fb7ff0000000000000"))
def test_whatever_is_accepted_is_its_own_encoding(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except Invalid:
        return
    assert cbor.encode(value) == data


@given(st.floats())
def test_a_float_takes_the_shortest_width_that_holds_it(value: float) -> None:
    data = cbor.encode(value)
    again = cbor.decode(data)
    assert again == value or (math.isnan(again) and math.isnan(value))
    assert math.copysign(1, again) == math.copysign(1, value) or math.isnan(value)
    longer = {3: (("f", b"\xfa"), ("d", b"\xfb")), 5: (("d", b"\xfb"),)}.get(len(data), ())
    for width, first in longer:
        with pytest.raises(Invalid):
            cbor.decode(first + struct.pack(">" + width, value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        # RFC 8949 appendix A
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (1_000_000_000_000, "1b000000e8d4a51000"),
        (18446744073709551615, "1bffffffffffffffff"),
        (-18446744073709551616, "3bffffffffffffffff"),
        (-1000, "3903e7"),
        (0.0, "f90000"),
        (-0.0, "f98000"),
        (1.1, "fb3ff199999999999a"),
        (65504.0, "f97bff"),
        (100000.0, "fa47c35000"),
        (3.4028234663852886e38, "fa7f7fffff"),
        (5.960464477539063e-08, "f90001"),
        (math.inf, "f97c00"),
        (math.nan, "f97e00"),
        (b"\x01\x02\x03\x04", "4401020304"),
        ("ü水𐅑", "69c3bce6b0b4f0908591"),
        ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
        ([1, [2, 3], [4, 5]], "8301820203820405"),
        # RFC 8949 section 4.2.1: bytewise order, unlike the length-first order of section 4.2.3
        ({10: 1, 100: 1, -1: 1, "z": 1, "aa": 1}, "a50a011864012001617a0162616101"),
    ],
)
def test_the_encoding_is_that_of_the_rfc(value: Any, text: str) -> None:
    assert cbor.encode(value).hex() == text
    assert repr(cbor.decode(bytes.fromhex(text))) == repr(value)


class Colour(IntEnum):
    RED = 1


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("value", "like"),
    [
        ((1, 2), [1, 2]),
        (Point(1, 2), [1, 2]),
        (Colour.RED, 1),
        (bytearray(b"a"), b"a"),
        ({Colour.RED: 0}, {1: 0}),
    ],
)
def test_subclasses_are_written_as_the_plain_type(value: Any, like: Any) -> None:
    assert cbor.encode(value) == cbor.encode(like)


@pytest.mark.parametrize(
    "value",
    [
        2**64,
        -(2**64) - 1,
        pytest.param(object(), id="object()"),
        {1, 2},
        1j,
        "\ud800",
        {"\udfff": 1},
        {True: 1},
        {1.5: 1},
        {None: 1},
        {(1,): 1},
        [[[[[[[[[]]]]]]]]],
    ],
    ids=repr,
)
def test_what_has_no_encoding_is_invalid(value: Any) -> None:
    with pytest.raises(Invalid):
        cbor.encode(value)


def test_a_value_that_holds_itself_is_invalid() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(Invalid):
        cbor.encode(value)


def test_keys_that_are_written_alike_are_invalid() -> None:
    class Word(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            return self is other

    with pytest.raises(Invalid, match="alike"):
        cbor.encode({Word("a"): 1, Word("a"): 2})


def test_a_sequence_is_its_items_one_after_the_other() -> None:
    data = cbor.encode_sequence(1, "a", [b""])
    assert data == cbor.encode(1) + cbor.encode("a") + cbor.encode([b""])
    assert cbor.decode_sequence(data) == [1, "a", [b""]]
    assert cbor.decode_sequence(b"") == []
    with pytest.raises(Invalid):
        cbor.decode_sequence(data[:-1])


def test_limits_of_a_sequence_hold_for_all_of_it() -> None:
    assert cbor.decode_sequence(bytes(10), items=10) == [0] * 10
    with pytest.raises(Invalid):
        cbor.decode_sequence(bytes(11), items=10)


def test_items_are_counted_to_the_last_one() -> None:
    data = cbor.encode([1, {2: 3}])
    assert cbor.decode(data, items=5) == [1, {2: 3}]
    with pytest.raises(Invalid, match="items"):
        cbor.decode(data, items=4)


def test_the_limit_is_in_bytes() -> None:
    data = cbor.encode(bytes(100))
    assert cbor.decode(data, limit=102) == bytes(100)
    with pytest.raises(Invalid, match="at most 101"):
        cbor.decode(data, limit=101)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_kind_of_bytes_is_read(kind: Callable[[bytes], Any]) -> None:
    assert cbor.decode(kind(b"\x41\x00")) == b"\x00"
    assert type(cbor.decode(kind(b"\x41\x00"))) is bytes


def test_parts_that_are_encoded_already_are_put_together() -> None:
    assert cbor.array([cbor.byte_string(b"abc"), cbor.head(0, 500)]) == cbor.encode([b"abc", 500])


HOSTILE = {
    "deep": b"\x81" * 65_536,
    "deep maps": b"\xa1\x00" * 30_000,
    "wide": b"\x99\xff\xff" + b"\x80" * 65_000,
    "wide and shallow": b"\x99\x03\xf0" + b"\x80" * 1_008 + b"\xff",
    "floats": b"\x99\x03\xf0" + b"\xfb\x40\x35\x5e\xb8\x51\xeb\x85\x1f" * 1_008 + b"\xff",
    "huge array": b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff" + b"\x00" * 1_000,
    "huge text": b"\x7b\x7f\xff\xff\xff\xff\xff\xff\xff" + b"a" * 60_000,
    "bad text": b"\x79\xff\x00" + b"a" * 0xFEFF + b"\xff",
    "nested claims": b"\x99\x01\x00" * 20_000,
    "keys out of order": b"\xb9\x01\x00" + b"".join(b"\x19\x03" + bytes((254 - i, 0)) for i in range(250)),
    "long integers": b"\x98\xff" + b"\x1b" * 60_000,
    "tags": b"\xc0" * 60_000,
    "trailing": b"\x00" * 60_000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bytes_are_rejected_within_a_millisecond_and_a_megabyte(data: bytes) -> None:
    def rejected() -> None:
        with pytest.raises(Invalid):
            cbor.decode(data, items=1_024)

    times = []
    for _ in range(9):
        start = time.process_time()
        rejected()
        times.append(time.process_time() - start)
    assert min(times) < 0.001
    tracemalloc.start()
    try:
        rejected()
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def _sorted(value: Any) -> Any:
    if isinstance(value, list):
        return [_sorted(member) for member in value]
    if isinstance(value, dict):
        keys = sorted(value, key=cbor.encode)
        return {key: _sorted(value[key]) for key in keys}
    return value
