"""The one owner of CBOR (RFC 8949): deterministic bytes out, strict bytes in.

Encoding follows the core deterministic requirements of RFC 8949 section 4.2.1: shortest integers and floats,
definite lengths, map keys in the bytewise order of their encodings. Decoding accepts exactly what encoding
gives, so that `encode(decode(data)) == data` for all that is accepted; everything else is `Invalid`.

The values are None, bool, int (64 bits and sign), float, str, bytes, list and dict; tuples are written as
lists. Map keys are int, str or bytes. There are no tags and no simple values besides false, true and null.

Both directions are written here and not taken from a library: general libraries accept duplicate keys, long
integers and trailing bytes, sort keys by the older length-first rule, and differ in floats between releases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from struct import Struct, error
from typing import Any

from kos_edge.errors import Invalid

MAX_BYTES = 65_536
"""Bytes that `decode` takes at most unless told otherwise."""

MAX_DEPTH = 8
"""Arrays and maps inside one another at most."""

MAX_ITEMS = 2_048
"""Data items in one decoding at most: what bounds the time and memory that hostile input can take. 4,096 took up to
1.8 ms to reject, and a rejection may take one millisecond (R21)."""

MAX_INT = 2**64 - 1
MIN_INT = -(2**64)

_HALF, _SINGLE, _DOUBLE = Struct(">e"), Struct(">f"), Struct(">d")
_NAN = b"\xf9\x7e\x00"
_SIMPLE = {0xF4: False, 0xF5: True, 0xF6: None}
_SHORT = [
    [bytes((kind | n,)) if n < 24 else bytes((kind | 24, n)) for n in range(256)]
    for kind in range(0, 6 << 5, 1 << 5)
]
"""Heads of one and two bytes, by major type and argument: nearly all."""


def encode(value: Any, *, depth: int = MAX_DEPTH) -> bytes:
    """The deterministic encoding of `value`; Invalid if it holds something that has none."""
    return _WRITERS.get(type(value), _write_other)(value, depth)


def encode_sequence(*values: Any, depth: int = MAX_DEPTH) -> bytes:
    """The values one after the other: a CBOR sequence (RFC 8742)."""
    return b"".join([encode(value, depth=depth) for value in values])


def decode(data: bytes, *, limit: int = MAX_BYTES, depth: int = MAX_DEPTH, items: int = MAX_ITEMS) -> Any:
    """The one value that `data` is the deterministic encoding of; Invalid for anything else.

    `limit` is in bytes, `depth` counts arrays and maps inside one another, `items` counts data items.
    """
    data = _checked(data, limit)
    value, end, _ = _read_guarded(data, 0, depth, items)
    if end != len(data):
        raise Invalid(f"CBOR: {len(data) - end} bytes after the end of the value")
    return value


def decode_sequence(
    data: bytes, *, limit: int = MAX_BYTES, depth: int = MAX_DEPTH, items: int = MAX_ITEMS
) -> list[Any]:
    """The values of a CBOR sequence (RFC 8742), each as in `decode`; the limits hold for all together."""
    data = _checked(data, limit)
    values = []
    at = 0
    while at < len(data):
        value, at, items = _read_guarded(data, at, depth, items)
        values.append(value)
    return values


def head(major: int, argument: int) -> bytes:
    """The initial byte and argument of a data item in the shortest form (RFC 8949 section 3)."""
    if argument < 0x100:
        return _SHORT[major][argument]
    kind = major << 5
    if argument < 0x1_0000:
        return bytes((kind | 25, argument >> 8, argument & 0xFF))
    if argument < 0x1_0000_0000:
        return bytes((kind | 26,)) + argument.to_bytes(4, "big")
    return bytes((kind | 27,)) + argument.to_bytes(8, "big")


def encode_float(value: float) -> bytes:
    """The shortest of the three widths that gives the same number back; NaN has one encoding."""
    if value != value:
        return _NAN
    double = _DOUBLE.pack(value)
    if (
        double[7] or double[6] or double[5] or double[4] & 31
    ):  # a single has the last 29 bits of a double clear
        return b"\xfb" + double
    try:
        if not (double[4] or double[3] or double[2] & 3):  # a half the last 42
            half = _HALF.pack(value)
            if _HALF.unpack(half)[0] == value:
                return b"\xf9" + half
    except OverflowError:
        pass
    try:
        single = _SINGLE.pack(value)
    except OverflowError:
        return b"\xfb" + double
    return b"\xfa" + single if _SINGLE.unpack(single)[0] == value else b"\xfb" + double


def byte_string(data: bytes) -> bytes:
    """`data` as an encoded byte string: for structures that are put together from encoded parts."""
    return head(2, len(data)) + data


def array(parts: Iterable[bytes]) -> bytes:
    """An encoded array of items that are encoded already."""
    members = list(parts)
    return head(4, len(members)) + b"".join(members)


def _write_int(value: int, _depth: int) -> bytes:
    if 0 <= value <= MAX_INT:
        return head(0, value)
    if MIN_INT <= value < 0:
        return head(1, -1 - value)
    raise Invalid("CBOR: an integer of more than 64 bits")


def _write_text(value: str, _depth: int) -> bytes:
    try:
        text = value.encode()
    except UnicodeEncodeError:
        raise Invalid("CBOR: text that is not Unicode") from None
    return head(3, len(text)) + text


def _write_bytes(value: bytes, _depth: int) -> bytes:
    return head(2, len(value)) + value


def _write_array(value: Any, depth: int) -> bytes:
    if not depth:
        raise Invalid("CBOR: nested too deep")
    depth -= 1
    writers = _WRITERS
    members = [writers.get(type(member), _write_other)(member, depth) for member in value]
    return head(4, len(members)) + b"".join(members)


def _write_map(value: dict[Any, Any], depth: int) -> bytes:
    if not depth:
        raise Invalid("CBOR: nested too deep")
    depth -= 1
    pairs = [
        (_write_key(key), _WRITERS.get(type(member), _write_other)(member, depth))
        for key, member in value.items()
    ]
    if len(pairs) > 1:
        pairs.sort()
        for (before, _), (after, _) in pairwise(pairs):
            if before == after:
                raise Invalid("CBOR: two keys of a map that are written alike")
    return head(5, len(pairs)) + b"".join([key + member for key, member in pairs])


def _write_key(key: Any) -> bytes:
    if type(key) is int and 0 <= key < 24:
        return _SHORT[0][key]
    if isinstance(key, bool) or not isinstance(key, (int, str, bytes)):
        raise Invalid(f"CBOR: {type(key).__name__} as the key of a map")
    return encode(key)


def _write_float(value: float, _depth: int) -> bytes:
    return encode_float(value)


def _write_simple(value: bool | None, _depth: int) -> bytes:
    return b"\xf6" if value is None else b"\xf5" if value else b"\xf4"


def _write_other(value: Any, depth: int) -> bytes:
    """A value of a subclass (an IntEnum, a named tuple, a bytearray), written as the plain type."""
    if isinstance(value, int):
        return _write_int(int(value), depth)
    if isinstance(value, str):
        return _write_text(str.__str__(value), depth)
    if isinstance(value, float):
        return _write_float(float(value), depth)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _write_bytes(bytes(value), depth)
    if isinstance(value, (list, tuple)):
        return _write_array(value, depth)
    if isinstance(value, Mapping):
        return _write_map(dict(value), depth)
    raise Invalid(f"CBOR: no encoding for {type(value).__name__}")


_WRITERS: dict[type, Callable[[Any, int], bytes]] = {
    int: _write_int,
    str: _write_text,
    bytes: _write_bytes,
    float: _write_float,
    bool: _write_simple,
    type(None): _write_simple,
    list: _write_array,
    tuple: _write_array,
    dict: _write_map,
}


def _checked(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise Invalid(f"CBOR: {len(data)} bytes, at most {limit} are taken")
    return data if type(data) is bytes else bytes(memoryview(data))


def _read_guarded(data: bytes, at: int, depth: int, items: int) -> tuple[Any, int, int]:
    try:
        return _read(data, at, depth, items - 1)
    except (IndexError, error):
        raise Invalid("CBOR: ends in the middle of a value") from None
    except UnicodeDecodeError:
        raise Invalid("CBOR: text that is not UTF-8") from None


def _read(data: bytes, at: int, depth: int, items: int) -> tuple[Any, int, int]:
    """The item at `at`, where the next one begins, and how many more items are allowed.

    One pass without recursion. An open container is its members so far (keys and values of a map alternate),
    how many are missing, and for a map the encoding of its last key. IndexError and struct.error: ends early.
    """
    size = len(data)
    stack: list[tuple[list[Any], int, bytes | None]] = []
    members: list[Any] = []
    missing, last_key = 1, None
    value: Any
    if items < 0:
        raise Invalid("CBOR: too many items")
    while True:
        begin = at
        first = data[at]
        at += 1
        if first < 24:
            value = first
        elif first >= 0xE0:
            value, at = _read_simple(data, at, first)
        else:
            major, argument = first >> 5, first & 31
            if argument == 24:
                argument = data[at]
                at += 1
                if argument < 24:
                    raise Invalid("CBOR: an integer or length that is longer than needed")
            elif argument > 24:
                argument, at = _read_argument(data, at, argument)
            if major == 3:
                start, at = at, at + argument
                value = str(data[start:at], "utf-8")
            elif major == 2:
                start, at = at, at + argument
                value = data[start:at]
            elif major == 0:
                value = argument
            elif major == 1:
                value = -1 - argument
            elif major == 6:
                raise Invalid("CBOR: a tag")
            else:
                if len(stack) >= depth:
                    raise Invalid("CBOR: nested too deep")
                if major == 5:
                    argument *= 2
                items -= argument
                if items < 0 or argument > size - at:
                    raise Invalid("CBOR: more items than are allowed or there")
                if argument:
                    stack.append((members, missing, last_key))
                    members, missing, last_key = [], argument, b"" if major == 5 else None
                    continue
                value = [] if major == 4 else {}
            if at > size:
                raise IndexError
        while True:
            if last_key is not None and not missing & 1:
                key = data[begin:at]
                if first >= 0x80 or key <= last_key:
                    raise Invalid("CBOR: keys of a map are integers or strings, sorted and each of them once")
                last_key = key
            members.append(value)
            missing -= 1
            if missing:
                break
            if not stack:
                return value, at, items
            value = members if last_key is None else dict(zip(members[::2], members[1::2], strict=True))
            members, missing, last_key = stack.pop()
            first = 0x80  # a container: not the key of a map


def _read_argument(data: bytes, at: int, info: int) -> tuple[int, int]:
    """An argument of two bytes or more, and where the next item begins."""
    if info == 25:
        value, least, end = data[at] << 8 | data[at + 1], 0x100, at + 2
    elif info == 26:
        end = at + 4
        value, least = int.from_bytes(data[at:end], "big"), 0x1_0000
    elif info == 27:
        end = at + 8
        value, least = int.from_bytes(data[at:end], "big"), 0x1_0000_0000
    else:
        raise Invalid("CBOR: an indefinite length or a reserved value")
    if end > len(data):
        raise IndexError
    if value < least:
        raise Invalid("CBOR: an integer or length that is longer than needed")
    return value, end


def _read_simple(data: bytes, at: int, first: int) -> tuple[Any, int]:
    value: float
    if first == 0xFB:
        (value,), end = _DOUBLE.unpack_from(data, at), at + 8
        # A single has the last 29 bits of a double clear; only then has it to be tried.
        is_shortest = bool(data[at + 7] or data[at + 6] or data[at + 5] or data[at + 4] & 31)
    elif first == 0xF9:
        (value,), end = _HALF.unpack_from(data, at), at + 2
        is_shortest = True
    elif first == 0xFA:
        (value,), end = _SINGLE.unpack_from(data, at), at + 4
        # A half has the last 13 bits of a single clear.
        is_shortest = bool(data[at + 3] or data[at + 2] & 31)
    elif first in _SIMPLE:
        return _SIMPLE[first], at
    else:
        raise Invalid("CBOR: a simple value that is not false, true or null")
    if value != value or not is_shortest:
        is_shortest = _write_float(value, 0) == data[at - 1 : end]
    if not is_shortest:
        raise Invalid("CBOR: a floating-point number that is not in its one shortest form")
    return value, end
