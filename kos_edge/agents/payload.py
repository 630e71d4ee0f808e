"""From what an author's function returns to a payload that can be published."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.klp import readings
from kos_edge.klp.body import Config, Data, Error, Governance, Intent, Payload, Ping, Trust, reading

Fields = Mapping[str, str | None]
"""Names of values and their units."""

PAYLOADS = (Intent, Data, Config, Ping, Error, Trust, Governance)


def payload_of(value: Any, unit: str | None = None, fields: Fields | None = None) -> Payload | None:
    """The payload for a value: a reading for a number, text, truth value, or a mapping of such; else plain
    data.

    With `fields`, the value is a mapping of those names; a name that is missing or None is left out. None
    when there is nothing to publish. Raises Invalid, saying which value, for NaN, infinity and unknown
    names.
    """
    if value is None:
        return None
    if type(value) is not dict and isinstance(value, PAYLOADS):
        return value
    if fields is not None:
        if not isinstance(value, Mapping):
            raise Invalid(f"a mapping of {', '.join(fields)} was expected, not {type(value).__name__}")
        if not value.keys() <= fields.keys():
            unknown = [str(name) for name in value if name not in fields]
            raise Invalid(f"{', '.join(unknown)}: not among the fields {', '.join(fields)}")
    if isinstance(value, Mapping):
        if not _are_numbers(value.values()):
            value = {name: member for name, member in value.items() if member is not None}
            _check_numbers(value)
        if not value:
            return None
        if fields and len(value) < len(fields):
            fields = {name: fields[name] for name in value}
        return reading(value, unit, fields)
    _check_numbers({"": value})
    return reading(value, unit)


def payloads_of(
    values: Sequence[Any], unit: str | None = None, fields: Fields | None = None
) -> Sequence[Payload]:
    """The payloads for the values of a block, each as `payload_of` has it.

    Raises Invalid as that does, and where there is nothing to publish.
    """
    values = list(values)
    block = readings.encode(values, unit, fields) if values else None
    if block is not None:
        return block
    payloads = [payload_of(value, unit, fields) for value in values]
    known = [payload for payload in payloads if payload is not None]
    if not known or len(known) < len(payloads):
        raise Invalid("a block has at least one value, and None is nothing to publish")
    return known


def _are_numbers(members: Iterable[Any]) -> bool:
    """Whether all are plain finite numbers, as nearly always: then there is nothing to leave out or to refuse."""
    for member in members:
        if type(member) is float:
            if not math.isfinite(member):
                return False
        elif type(member) is not int:
            return False
    return True


def _check_numbers(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise Invalid(f"{name} is {value}, which is no reading" if name else f"{value} is no reading")
