"""Readings that are handed in together, encoded straight from their values.

A fast source publishes the same names and units in every reading of a block, and numbers beside them. Between its
values and their bytes nothing is needed: no records, no payload, no message for each. That is a third of what a device
spends on a reading.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from kos_edge.klp import cbor, senml
from kos_edge.klp.body import READING, Data

_ALONE: Any = object()  # stands for the name of a value that has none

_MOST_RECORDS = 23
_MOST_BYTES = 4_000
"""Of one encoded reading here: what is longer is measured on the way that all payloads take."""


class Readings(Sequence[Data]):
    """A block of readings as encoded bodies; each is a `Data` for whoever looks at it. `encode` makes it."""

    __slots__ = ("bodies",)

    def __init__(self, bodies: list[bytes]) -> None:
        self.bodies = bodies
        """The encoded body of each."""

    @overload
    def __getitem__(self, index: int) -> Data: ...

    @overload
    def __getitem__(self, index: slice) -> Readings: ...

    def __getitem__(self, index: int | slice) -> Data | Readings:
        if isinstance(index, slice):
            return Readings(self.bodies[index])
        return Data.from_wire(cbor.decode(self.bodies[index]))

    def __iter__(self) -> Iterator[Data]:
        return map(self.__getitem__, range(len(self.bodies)))

    def __len__(self) -> int:
        return len(self.bodies)


def encode(
    values: Sequence[Any], unit: str | None = None, fields: Mapping[str, str | None] | None = None
) -> Readings | None:
    """The readings of finite numbers, or of dictionaries of such by name; None where one of them is anything else.

    What `body.reading` makes of each is the same. A value has no names that are not in `fields`, where there are some.
    """
    heads: dict[Any, bytes] = {}
    bodies = []
    for value in values:
        members = value if type(value) is dict else {_ALONE: value}
        if not 0 < len(members) <= _MOST_RECORDS:
            return None
        parts = [READING, cbor.head(4, len(members))]
        for name, member in members.items():
            head = heads.get(name)
            if head is None:
                head = _head(name, unit, fields)
                if head is None:
                    return None
                heads[name] = head
            kind = type(member)
            if kind is float and math.isfinite(member):
                parts += (head, cbor.encode_float(member))
            elif kind is int and cbor.MIN_INT <= member <= cbor.MAX_INT:
                parts += (head, cbor.head(0, member) if member >= 0 else cbor.head(1, -1 - member))
            else:
                return None
        body = b"".join(parts)
        if len(body) > _MOST_BYTES:
            return None
        bodies.append(body)
    return Readings(bodies)


def _head(name: Any, unit: str | None, fields: Mapping[str, str | None] | None) -> bytes | None:
    """The record of a number up to where that stands; None where the name or the unit may be wrong."""
    if name is _ALONE:
        return senml.record_head(None, unit) if fields is None and senml.is_unit(unit) else None
    if type(name) is not str or not senml.is_name(name):
        return None
    if fields is not None:
        if name not in fields:
            return None
        unit = fields[name]
    return senml.record_head(name, unit) if senml.is_unit(unit) else None
