"""CBOR values as JSON that people read, without loss in either direction.

What JSON has not is written as an object with one key: `{"$bytes": base64url}`, `{"$float": "nan"}` (also
`inf`, `-inf`), and `{"$map": [[key, value], …]}` for maps whose keys are not all text, or whose one key
begins with `$`.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

from kos_edge.errors import Invalid

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_START = datetime(1970, 1, 1, tzinfo=UTC)
MAX_WALL_MS = 253_402_300_799_999
"""The last millisecond of the year 9999: what RFC 3339 can still write."""


def to_json(value: Any) -> Any:
    """A CBOR value as a JSON value."""
    if isinstance(value, bytes):
        return {"$bytes": base64.urlsafe_b64encode(value).rstrip(b"=").decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"}
    if isinstance(value, (list, tuple)):
        return [to_json(member) for member in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value) or (len(value) == 1 and min(value).startswith("$")):
            return {"$map": [[to_json(key), to_json(member)] for key, member in value.items()]}
        return {key: to_json(member) for key, member in value.items()}
    return value


def from_json(value: Any) -> Any:
    """The reverse of `to_json`; Invalid for a `$` object that it does not make."""
    if isinstance(value, list):
        return [from_json(member) for member in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, member),) = value.items()
        if key == "$bytes":
            return _bytes(member)
        if key == "$float":
            return _float(member)
        if key == "$map":
            return _map(member)
        if key.startswith("$"):
            raise Invalid(f"{key!r} is not known as a value in JSON")
    return {key: from_json(member) for key, member in value.items()}


def time_text(wall_ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339 in UTC, such as `2027-01-15T08:00:00.000Z`; years 1 to 9999."""
    try:
        moment = _START + timedelta(milliseconds=wall_ms)
    except OverflowError:
        raise Invalid("a time outside of the years 1 to 9999") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def parse_time(text: Any) -> int:
    """Milliseconds since 1970 of a RFC 3339 time with an offset."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
    except (TypeError, ValueError):
        raise Invalid("not a time", hint="a time looks like 2027-01-15T08:00:00.000Z") from None
    return (moment - _START) // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Form:
    """How one part of a body looks in JSON: from the value on the wire, and back to it."""

    out: Callable[[Any], Any]
    back: Callable[[Any], Any]


def _hex_back(text: Any) -> bytes:
    try:
        return bytes.fromhex(text)
    except (TypeError, ValueError):
        raise Invalid("not hexadecimal digits") from None


PLAIN = Form(to_json, from_json)
HEX = Form(bytes.hex, _hex_back)
TIME = Form(time_text, parse_time)


def names(kinds: type[IntEnum]) -> Form:
    """The members of an enumeration by their names in lower case."""

    def back(text: Any) -> int:
        for kind in kinds:
            if kind.name.lower() == text:
                return int(kind)
        raise Invalid(f"not one of {', '.join(kind.name.lower() for kind in kinds)}")

    return Form(lambda number: kinds(number).name.lower(), back)


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        raise Invalid("$bytes is base64url without padding")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise Invalid("$bytes is base64url without padding") from None


def _float(text: Any) -> float:
    if text not in ("nan", "inf", "-inf"):
        raise Invalid("$float is nan, inf or -inf")
    return float(text)


def _map(pairs: Any) -> dict[Any, Any]:
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise Invalid("$map is a list of pairs")
    members = [(from_json(key), from_json(member)) for key, member in pairs]
    for key, _ in members:
        if isinstance(key, bool) or not isinstance(key, (int, str, bytes)):
            raise Invalid("a key of $map is an integer, text or $bytes")
    return dict(members)
