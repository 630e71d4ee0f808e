"""Where a configuration comes from: a file, those in config.d beside it, and the environment; the later wins."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.node.config import SECTIONS, BadConfiguration, Config, Layer, combine, parse_layer
from kos_edge.node.settings import Kind, Place, key_of, nearest

CONFIG_LIMIT = 1 << 20
"""Bytes of a configuration file; a larger one is something else."""
MAX_FILES = 64
"""In config.d."""
PREFIX = "KOS_EDGE_"


def load_config(path: Path, *, required: bool = False, environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration of the file at `path`, of `config.d/*.toml` beside it by name, and of the environment.

    The defaults where there is nothing and the file is not `required`. Raises BadConfiguration, also for a file that
    cannot be read.
    """
    layers = []
    if required or path.exists():
        layers.append(read_layer(path))
    layers += [read_layer(each) for each in drop_ins(path)]
    return combine([*layers, environment_layer(environment)])


def drop_ins(path: Path) -> list[Path]:
    """The files in config.d beside this one, in the order in which they count. Raises BadConfiguration."""
    folder = path.parent / "config.d"
    try:
        found = sorted(each for each in folder.iterdir() if each.suffix == ".toml")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BadConfiguration(str(folder), [Place(None, f"cannot be read: {error.strerror}")]) from None
    if len(found) > MAX_FILES:
        raise BadConfiguration(str(folder), [Place(None, f"has more than {MAX_FILES} files")])
    return found


def read_layer(path: Path) -> Layer:
    """What one file sets. Raises BadConfiguration."""
    return parse_layer(read_file(path), file=str(path))


def read_file(path: Path) -> bytes:
    """The bytes of a configuration file. Raises BadConfiguration."""
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_LIMIT + 1)
    except FileNotFoundError:
        raise BadConfiguration(str(path), [Place(None, "there is no such file")]) from None
    except OSError as error:
        raise BadConfiguration(str(path), [Place(None, f"cannot be read: {error.strerror}")]) from None
    if len(data) > CONFIG_LIMIT:
        raise BadConfiguration(str(path), [Place(None, f"has more than {CONFIG_LIMIT:,} bytes")])
    return data


def environment_layer(environment: Mapping[str, str]) -> Layer:
    """What variables such as KOS_EDGE_QUEUE_MAX_BYTES=64MB set. Raises BadConfiguration.

    A value is written as in a file; a text may stand without quotes, and a list of one without brackets.
    """
    sections: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    wrong: list[Place] = []
    for variable in sorted(environment):
        name, _, key = variable.removeprefix(PREFIX).lower().partition("_")
        if not variable.startswith(PREFIX) or name not in SECTIONS or not key:
            continue
        keys = {key_of(each.name): each for each in fields(SECTIONS[name])}
        known = keys.get(key.replace("_", "-"))
        if known is None:
            hint = nearest(key.replace("_", "-"), keys)
            wrong.append(Place(None, f"{variable}: [{name}] has no key {key.replace('_', '-')!r}", hint))
            continue
        try:
            sections.setdefault(name, {})[known.name] = read_value(
                known.metadata["kind"], environment[variable]
            )
        except Invalid as error:
            wants = known.metadata["kind"].wants
            wrong.append(
                Place(None, f"{variable} must be {wants}, not {environment[variable][:40]!r}", error.hint)
            )
            continue
        origins[f"{name}.{key_of(known.name)}"] = variable
    if wrong:
        raise BadConfiguration("the environment", wrong)
    return Layer(sections, origins=origins)


def read_value(kind: Kind, text: str) -> Any:
    """A value that a person typed. Raises Invalid."""
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    tried: list[Any] = [value, text, [text]]
    for each in tried:
        try:
            return kind.read(each)
        except Invalid as error:
            last = error
    raise last
