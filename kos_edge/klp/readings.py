"""Readings that are handed in together, encoded straight from their values.

A fast source publishes the same names and units in every reading of a block, and numbers beside them. Between its
values and their bytes nothing is needed: no records, no payload, no message for each. That is a third of what a device
spends on a reading.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, overload

from kos_edge.klp import cbor, senml, table
from kos_edge.klp.body import Data
from kos_edge.klp.table import Form


class Readings(Sequence[Data]):
    """A block of readings of one form, as encoded values; each is a `Data` for whoever looks at it: `encode`."""

    __slots__ = ("form", "tails")

    def __init__(self, form: Form, tails: list[bytes]) -> None:
        self.form = form
        self.tails = tails
        """The encoded values of each, one behind the other."""

    @overload
    def __getitem__(self, index: int) -> Data: ...

    @overload
    def __getitem__(self, index: slice) -> Readings: ...

    def __getitem__(self, index: int | slice) -> Data | Readings:
        if isinstance(index, slice):
            return Readings(self.form, self.tails[index])
        return Data(self.form.records(cbor.decode_sequence(self.tails[index])), senml.CONTENT_FORMAT)

    def __iter__(self) -> Iterator[Data]:
        return map(self.__getitem__, range(len(self.tails)))

    def __len__(self) -> int:
        return len(self.tails)


def encode(
    values: Sequence[Any], unit: str | None = None, fields: Mapping[str, str | None] | None = None
) -> Readings | None:
    """The readings of finite numbers, or of dictionaries of such with the same names in the same order.

    None where one of them is anything else. What `body.reading` makes of each is the same. A value has no names that
    are not in `fields`, where there are some.
    """
    names = tuple(values[0]) if type(values[0]) is dict else None
    form = _form(names, unit, fields)
    if form is None:
        return None
    tails = []
    encode_float, head = cbor.encode_float, cbor.head
    members: Collection[Any]
    for value in values:
        if names is None:
            members = (value,)
        elif type(value) is dict and tuple(value) == names:
            members = value.values()
        else:
            return None
        parts = []
        for member in members:
            kind = type(member)
            if kind is float and math.isfinite(member):
                parts.append(encode_float(member))
            elif kind is int and cbor.MIN_INT <= member <= cbor.MAX_INT:
                parts.append(head(0, member) if member >= 0 else head(1, -1 - member))
            else:
                return None
        tails.append(b"".join(parts))
    return Readings(form, tails)


def _form(
    names: tuple[Any, ...] | None, unit: str | None, fields: Mapping[str, str | None] | None
) -> Form | None:
    """The form of values with these names, or of such without; None where one of the names or units may be wrong."""
    if names is None:
        said = [(None, unit)] if fields is None else []
    elif fields is None:
        said = [(name, unit) for name in names]
    elif all(type(name) is str and name in fields for name in names):
        said = [(name, fields[name]) for name in names]
    else:
        return None
    if any(type(part) not in (str, type(None)) for field in said for part in field):
        return None
    return table.form_of(tuple(said)) if names is None or None not in names else None
