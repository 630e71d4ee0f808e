"""Settings: dataclass fields that know how their TOML value is written, read, shown and explained.

One `setting(...)` a field is all there is: reading, ``config show`` and the example file come from it.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.node.quantities import parse_duration, parse_size, show_duration, show_size


@dataclass(frozen=True, slots=True)
class Kind:
    """How one sort of value is written in TOML: `wants` says it to a person, `read` raises Invalid."""

    wants: str
    read: Callable[[Any], Any]
    show: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file something is wrong, and what; `line` is None where it has none."""

    line: int | None
    message: str
    hint: str | None = None


def setting(kind: Kind, default: Any, about: str, *, sample: str | None = None) -> Any:
    """A field with this default. `about` is for the example file, where a None default is a `sample`, off."""
    return field(default=default, metadata={"kind": kind, "about": about, "sample": sample})


def key_of(name: str) -> str:
    """The TOML key of a field: seconds are written with their unit, so `ttl_s` is ``ttl``."""
    return name.removesuffix("_s").replace("_", "-")


def read_fields(
    form: type, table: Mapping[str, Any], title: str, line_of: Callable[[str], int | None], wrong: list[Place]
) -> dict[str, Any]:
    """The values of `table` by field name of `form`; what is wrong goes to `wrong` and is left out."""
    fields = {key_of(each.name): each for each in dataclasses.fields(form)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        known = fields.get(key)
        if known is None:
            wrong.append(Place(line_of(key), f"{title} has no key {key!r}", nearest(key, fields)))
            continue
        kind: Kind = known.metadata["kind"]
        try:
            values[known.name] = kind.read(value)
        except Invalid as error:
            why = f"{title} {key} must be {kind.wants}, not {_shown(value)}"
            wrong.append(Place(line_of(key), why, error.hint))
    return values


def shown_fields(value: Any) -> dict[str, Any]:
    """A dataclass of settings as its TOML table: keys and values as a person writes them, or None."""
    table: dict[str, Any] = {}
    for each in dataclasses.fields(value):
        current = getattr(value, each.name)
        kind: Kind = each.metadata["kind"]
        table[key_of(each.name)] = None if current is None else kind.show(current)
    return table


def example_fields(form: type) -> list[str]:
    """Lines of an example table: every key with its explanation, those without a default commented out."""
    lines: list[str] = []
    for each in dataclasses.fields(form):
        kind: Kind = each.metadata["kind"]
        lines += [f"# {line}" for line in each.metadata["about"].splitlines()]
        if each.default is None:
            lines.append(f"# {key_of(each.name)} = {each.metadata['sample']}")
        else:
            lines.append(f"{key_of(each.name)} = {toml_text(kind.show(each.default))}")
        lines.append("")
    return lines


def toml_text(value: Any) -> str:
    """A text, number, flag or list of them in TOML; their JSON form is also their TOML form."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def nearest(key: str, known: Iterable[str]) -> str:
    """The hint for a name that is not among the `known`."""
    names = list(known)
    near = difflib.get_close_matches(key, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there is {', '.join(names)}"


def text(wants: str = "a text", check: Callable[[str], object] = str) -> Kind:
    """A text that `check` does not refuse by raising Invalid."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise Invalid(wants)
        check(value)
        return value

    return Kind(wants, read)


def choice(*names: str) -> Kind:
    """One of these words."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise Invalid("no such word")
        return value

    return Kind(" or ".join(f'"{name}"' for name in names), read)


def listing(item: Kind) -> Kind:
    """A list of values of one kind; a tuple in Python."""

    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Invalid("not a list")
        return tuple(item.read(each) for each in value)

    return Kind(f"a list, each {item.wants}", read, list)


def count(least: int = 1) -> Kind:
    """A whole number, not below `least`."""

    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise Invalid("not such a number")
        return value

    return Kind(f"a whole number from {least}", read)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Invalid("neither true nor false")
    return value


def _duration(value: Any) -> float:
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise Invalid("no text")
    return parse_duration(str(value))


def _longer_duration(value: Any) -> float:
    if _duration(value) < 0.001:
        raise Invalid("no time at all")
    return _duration(value)


def _size(value: Any) -> int:
    if not isinstance(value, str | int) or isinstance(value, bool) or parse_size(str(value)) == 0:
        raise Invalid("no size")
    return parse_size(str(value))


FLAG = Kind("true or false", _flag)
DURATION = Kind('a duration such as "100ms" or "7d"', _duration, show_duration)
LONGER_DURATION = Kind('a duration above 0 such as "30s"', _longer_duration, show_duration)
SIZE = Kind('a size such as "512MB"', _size, show_size)


def _shown(value: Any) -> str:
    words = re.sub(r"\s+", " ", repr(value))
    return words if len(words) <= 60 else words[:57] + "..."
