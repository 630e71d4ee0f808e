"""The topic table of a pack, with the forms of the readings on its topics.

    entry = topic  /  [ topic, unit ]  /  [ topic, 1*64 ( name, unit ) ]        unit = text / null

A device says the same names and units all its life. In a form they stand in the header of a pack once, and each reading
carries its values only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from kos_edge.errors import Invalid
from kos_edge.klp import cbor, senml, topic
from kos_edge.klp.senml import BOOLEAN, DATA, NAME, STRING, UNIT, VALUE

MAX_FIELDS = 64
"""Values of one reading in a form at most."""

MAX_UNIT = 64
"""Bytes of a unit in a form at most."""

Field = tuple[str | None, str | None]
"""Name and unit of one value."""

_SAID = (str, type(None))
_LABELS = {float: VALUE, int: VALUE, str: STRING, bool: BOOLEAN, bytes: DATA}
_ODD = ((VALUE, (int, float)), (STRING, str), (BOOLEAN, bool), (DATA, bytes))


@dataclass(frozen=True, slots=True)
class Form:
    """Names and units of the values of a reading, in their order. `form_of` makes it.

    A reading of one value may have no name; otherwise each has one, and they differ.
    """

    fields: tuple[Field, ...]

    def records(self, values: Sequence[Any]) -> list[dict[int, Any]]:
        """The SenML records of a reading with as many values; Invalid for a value that no record has."""
        found = []
        for (name, unit), value in zip(self.fields, values, strict=True):
            record: dict[int, Any] = {}
            if name is not None:
                record[NAME] = name
            if unit is not None:
                record[UNIT] = unit
            label = _LABELS.get(type(value))
            if label is None:
                raise Invalid("a value of a reading is a number, text, a truth value or bytes")
            record[label] = value
            found.append(record)
        return found


class Entry(NamedTuple):
    """One line of the table: a topic, and the form of the readings that use this line; None for other messages."""

    topic: str
    form: Form | None = None

    def to_wire(self) -> Any:
        """The entry as it stands in a header."""
        if self.form is None:
            return self.topic
        fields = self.form.fields
        if fields[0][0] is None:
            return [self.topic, fields[0][1]]
        return [self.topic, *(part for field in fields for part in field)]


Table = tuple[Entry, ...]


@lru_cache(maxsize=1024)
def form_of(fields: tuple[Field, ...]) -> Form | None:
    """The form of these fields; None where no form has such names, such units, or so many."""
    if not 0 < len(fields) <= MAX_FIELDS or not all(_is_unit(unit) for _, unit in fields):
        return None
    names = [name for name, _ in fields]
    if names != [None] and not (all(map(senml.is_name, names)) and len(set(names)) == len(names)):
        return None
    return Form(fields)


def split(content: Any) -> tuple[Form, list[Any]] | None:
    """SenML content as a form and its values; None for content that has no form. `Form.records` is the reverse."""
    if type(content) is not list or not 0 < len(content) <= MAX_FIELDS:
        return None
    fields, values = [], []
    for record in content:
        if type(record) is not dict:
            return None
        name, unit, value = record.get(NAME), record.get(UNIT), record.get(VALUE)
        if type(value) is not float and type(value) is not int:
            value = _odd_value(record)
        if value is None or type(name) not in _SAID or type(unit) not in _SAID:
            return None
        if len(record) != 1 + (name is not None) + (unit is not None):
            return None
        fields.append((name, unit))
        values.append(value)
    form = form_of(tuple(fields))
    return None if form is None else (form, values)


@lru_cache(maxsize=1024)
def encode_entry(entry: Entry) -> bytes:
    """The encoded entry."""
    return cbor.encode(entry.to_wire())


def items_of(entry: Entry) -> int:
    """Data items of the entry."""
    wire = entry.to_wire()
    return 1 if wire is entry.topic else 1 + len(wire)


def table_from_wire(wire: Any) -> Table:
    """The table of a header; Invalid unless every entry is one, and each is there once."""
    if type(wire) is not list:
        raise Invalid("the topic table of a pack is a list")
    return tuple([Entry(part) if type(part) is str else _formed(part) for part in wire])


def check_table(table: Table, most: int) -> None:
    """Invalid unless a header may have this table."""
    if not 1 <= len(table) <= most or len(set(table)) != len(table):
        raise Invalid("the topic table of a pack has each of its entries once, and at least one")
    for entry in table:
        topic.check_topic(entry.topic)


def _formed(wire: Any) -> Entry:
    """The entry that is not just a topic."""
    if type(wire) is not list or len(wire) < 2 or type(wire[0]) is not str:
        raise Invalid("an entry of the topic table is a topic, or a topic with the form of its readings")
    name, *said = wire
    if all(type(part) in _SAID for part in said):
        form = _form_said(tuple(said))
        if form is not None:
            return Entry(name, form)
    raise Invalid(f"a form is one unit, or up to {MAX_FIELDS} names that differ, each with a unit or null")


def _form_said(said: tuple[str | None, ...]) -> Form | None:
    if len(said) == 1:
        return form_of(((None, said[0]),))
    names, units = said[::2], said[1::2]
    if len(names) != len(units) or None in names:
        return None
    return form_of(tuple(zip(names, units, strict=True)))


def _is_unit(unit: str | None) -> bool:
    if unit is None:
        return True
    try:
        return 0 < len(unit) <= MAX_UNIT >= len(unit.encode())
    except UnicodeEncodeError:
        return False


def _odd_value(record: dict[int, Any]) -> Any:
    """The value of a record under its right label, also of a subclass such as a NumPy number; None if it has none."""
    for label, kind in _ODD:
        value = record.get(label)
        if isinstance(value, kind) and (label != VALUE or not isinstance(value, bool)):
            return value
    return None
