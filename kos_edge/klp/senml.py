"""Readings as SenML (RFC 8428): records with the integer labels of section 6.

A record has a name (label 0) when one reading has several values, a unit (label 1, from the SenML units
registry: `Cel`, `%RH`), and a value: number (2), string (3), boolean (4) or bytes (8).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from kos_edge.errors import Invalid

CONTENT_FORMAT = 112
"""application/senml+cbor."""

NAME, UNIT, VALUE, STRING, BOOLEAN, DATA = 0, 1, 2, 3, 4, 8

LABELS = {
    "bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6,
    "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8,
}  # fmt: skip
"""The labels of SenML in JSON with their integers in CBOR (RFC 8428 table 4)."""

JSON_NAMES = {number: name for name, number in LABELS.items()}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._/-]{0,63}")
_VALUES = (VALUE, STRING, BOOLEAN, DATA)
_PLAIN = frozenset((NAME, UNIT, *_VALUES))


def records(
    value: Any, unit: str | None = None, fields: Mapping[str, str | None] | None = None
) -> list[Any] | None:
    """The records of a reading, or None if the value is no scalar and no mapping of names to scalars.

    A scalar is a finite number, text, a boolean or bytes. `unit` is that of a scalar, or of all values of a
    mapping which `fields` does not name. Invalid: units for what cannot have them, a field that is missing.
    """
    if isinstance(value, Mapping):
        return _records(value, unit, fields or {})
    if _is_scalar(value):
        if fields:
            raise Invalid("fields were named, so the value is a mapping with one value for each")
        return [_record(None, unit, value)]
    _check_unitless(unit, fields)
    return None


def _records(
    values: Mapping[Any, Any], unit: str | None, fields: Mapping[str, str | None]
) -> list[Any] | None:
    if not values or not all(map(is_name, values)) or not all(map(_is_scalar, values.values())):
        _check_unitless(unit, fields)
        return None
    if not fields.keys() <= values.keys():
        missing = [name for name in fields if name not in values]
        raise Invalid(f"the reading has no value for {', '.join(map(repr, missing))}")
    return [_record(name, fields.get(name, unit), member) for name, member in values.items()]


def _check_unitless(unit: str | None, fields: Mapping[str, str | None] | None) -> None:
    if unit is not None or fields:
        raise Invalid("what has units is a finite number, text, a boolean, bytes, or names with such")


def plain(content: Any) -> Any:
    """The value of what `records` makes: a scalar or a mapping of names to scalars. Else the content."""
    if not _are_plain(content):
        return content
    if len(content) == 1 and NAME not in content[0]:
        return _value(content[0])
    return {record[NAME]: _value(record) for record in content}


def units(content: Any) -> str | dict[str, str | None] | None:
    """The unit of a scalar reading, or the units by name; None if there is none to tell."""
    if not _are_plain(content):
        return None
    if len(content) == 1 and NAME not in content[0]:
        unit: str | None = content[0].get(UNIT)
        return unit
    return {record[NAME]: record.get(UNIT) for record in content}


def is_name(name: Any) -> bool:
    """Whether a record may have this name."""
    return isinstance(name, str) and _is_word(name)


def to_json(content: Any) -> Any:
    """Records with the labels of SenML in JSON; content that is no list of maps stays as it is."""
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        return content
    return [{JSON_NAMES.get(label, label): member for label, member in record.items()} for record in content]


def from_json(content: Any) -> Any:
    """The reverse of `to_json`."""
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        return content
    return [{LABELS.get(label, label): member for label, member in record.items()} for record in content]


def _record(name: str | None, unit: str | None, value: Any) -> dict[int, Any]:
    kind = type(value)
    label = VALUE if kind is float or kind is int else _label(value)
    if unit is None:
        return {label: value} if name is None else {NAME: name, label: value}
    if not isinstance(unit, str) or not unit:
        raise Invalid("a unit is a word of the SenML registry such as Cel or %RH")
    return {UNIT: unit, label: value} if name is None else {NAME: name, UNIT: unit, label: value}


def _label(value: Any) -> int:
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, str):
        return STRING
    return DATA if isinstance(value, bytes) else VALUE


def _is_scalar(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, (bool, str, bytes, int))


@lru_cache(maxsize=1024)
def _is_word(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _are_plain(content: Any) -> bool:
    if not isinstance(content, list) or not content:
        return False
    for record in content:
        if not isinstance(record, dict) or not record.keys() <= _PLAIN:
            return False
        if sum(label in record for label in _VALUES) != 1:
            return False
    names = [record.get(NAME) for record in content]
    if names == [None]:
        return True
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _value(record: dict[int, Any]) -> Any:
    return next(record[label] for label in _VALUES if label in record)
