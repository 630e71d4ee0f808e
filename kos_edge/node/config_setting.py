"""Setting single keys of the configuration: in a file of ours, for a person's files are never rewritten."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kos_edge.errors import Invalid, Unavailable
from kos_edge.node.config import SECTIONS, parse_layer
from kos_edge.node.config_sources import load_config, read_file
from kos_edge.node.durable_file import write_durably

SET_NAME = "90-set.toml"
_HEAD = (
    "# Written by kos-edge config set. Change it there, or delete it; your own files are read before it.\n"
)


def set_key(config: Path, key: str, value: str) -> Path:
    """Set `key` to what a person typed; the file that has it. Raises Invalid for what is no key or no value of it."""
    path, place = _path(key), _place(config)
    table = _table(place)
    problem: Invalid | None = None
    for attempt in _readings(value):
        wanted = _with(table, path, attempt)
        try:
            parse_layer(_toml(wanted).encode(), file=SET_NAME)
        except Invalid as error:
            problem = problem or error
            continue
        _write(place, wanted)
        load_config(config)  # what another file has wrong is told now, not at the next start
        return place
    assert problem is not None
    raise Invalid(problem.message.partition(": ")[2] or problem.message, hint=problem.hint)


def unset_key(config: Path, key: str) -> Path:
    """Take `key` out of the file. Raises Invalid where it is not in it."""
    path, place = _path(key), _place(config)
    table = _table(place)
    inner: Any = table
    for name in path[:-1]:
        inner = inner.get(name, {})
    if path[-1] not in inner:
        raise Invalid(f"{key} is not set in {place}", hint="kos-edge config show --origin says where it is")
    del inner[path[-1]]
    _write(place, table)
    return place


def _path(key: str) -> tuple[str, ...]:
    """The names in a key: queue.max-bytes, topic."air.#".ttl."""
    try:
        found: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        found = {}
    path: list[str] = []
    while isinstance(found, Mapping) and len(found) == 1:
        ((name, found),) = found.items()
        path.append(name)
    wanted = 2 if path and path[0] in SECTIONS else 3
    if len(path) != wanted:
        raise Invalid(f"{key[:80]!r} is no key", hint="such as queue.max-bytes, or 'topic.\"air.#\".ttl'")
    return tuple(path)


def _readings(text: str) -> list[Any]:
    """What a text may mean: a TOML value, a text, a list of one text."""
    try:
        return [tomllib.loads(f"value = {text}")["value"], text, [text]]
    except tomllib.TOMLDecodeError:
        return [text, [text]]


def _place(config: Path) -> Path:
    return config.parent / "config.d" / SET_NAME


def _table(place: Path) -> dict[str, Any]:
    """What is set there now. Raises BadConfiguration."""
    if not place.exists():
        return {}
    data = read_file(place)
    parse_layer(data, file=str(place))
    return tomllib.loads(data.decode())


def _with(table: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy with this value at that place."""
    name, *rest = path
    return {**table, name: _with(table.get(name, {}), tuple(rest), value) if rest else value}


def _toml(table: Mapping[str, Any]) -> str:
    lines = [_HEAD]
    for section, values in table.items():
        named = {name: each for name, each in values.items() if isinstance(each, dict)}
        plain = {name: each for name, each in values.items() if name not in named}
        for title, keys in [
            (section, plain),
            *((f"{section}.{json.dumps(n)}", each) for n, each in named.items()),
        ]:
            if keys:
                lines += [f"[{title}]", *(f"{key} = {json.dumps(each)}" for key, each in keys.items()), ""]
    return "\n".join(lines)


def _write(place: Path, table: Mapping[str, Any]) -> None:
    try:
        place.parent.mkdir(mode=0o755, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"cannot make {place.parent}: {error.strerror}") from None
    write_durably(place, _toml(table).encode(), mode=0o644)
