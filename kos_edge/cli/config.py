"""config check, show, set, unset and example."""

from __future__ import annotations

from pathlib import Path

import click

from kos_edge.cli.face import Face, common, pass_face
from kos_edge.cli.show import columns
from kos_edge.control.text import json_line
from kos_edge.node.config import (
    BadConfiguration,
    Config,
    example_config,
    shown_config,
    where,
)
from kos_edge.node.config_sources import load_config
from kos_edge.node.settings import toml_text
from kos_edge.node.statedir import StateDir

_option = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Instead of config.toml in the state directory.",
)


@click.group()
@common
def config() -> None:
    """Check, show or explain the configuration."""


@config.command()
@_option
@common
@pass_face
def check(face: Face, file: Path | None) -> int:
    """Say everything that is wrong with the configuration, each with its line."""
    try:
        _load(face, file)
    except BadConfiguration as error:
        _tell_all(face, error)
        return error.exit_code
    place = str(_file(face, file))
    text = f"{place} is right" if _file(face, file).exists() else f"there is no {place}: the defaults hold"
    face.answer({"file": place, "valid": True}, text)
    return 0


@config.command()
@_option
@click.option(
    "--origin", is_flag=True, help="Say of each key where it was set; those at their default are left out."
)
@common
@pass_face
def show(face: Face, file: Path | None, origin: bool) -> None:
    """The configuration as it takes effect, defaults included."""
    found = _load(face, file)
    shown = shown_config(found)
    tables = {name: table for name, table in shown.items() if name not in ("secret", "topic")}
    for kind in ("secret", "topic"):
        tables |= {f"{kind}.{json_line(name)}": table for name, table in shown[kind].items()}
    if origin:
        origins = dict(sorted(found.origins.items()))
        rows = list(origins.items())
        text = columns(rows, ("KEY", "SET BY")) if rows else "nothing is set: the defaults hold"
        face.answer(origins, text)
        return
    text = "\n\n".join(
        "\n".join(
            [
                f"[{name}]",
                *(f"{key} = {toml_text(value)}" for key, value in table.items() if value is not None),
            ]
        )
        for name, table in tables.items()
    )
    face.answer(shown, text)


@config.command("set")
@click.argument("key")
@click.argument("value")
@common
@pass_face
def put(face: Face, key: str, value: str) -> None:
    """Set KEY, such as queue.max-bytes, to VALUE, in a file of ours: config.d/90-set.toml.

    A daemon takes it at its next start. Your own files are never rewritten.
    """
    from kos_edge.node.config_setting import set_key

    place = set_key(StateDir(face.state).config_file, key, value)
    face.answer(
        {"key": key, "file": str(place)}, f"{key} is set in {place}; a daemon takes it at its next start"
    )


@config.command()
@click.argument("key")
@common
@pass_face
def unset(face: Face, key: str) -> None:
    """Take back what `set` has set of KEY. Other files are not touched."""
    from kos_edge.node.config_setting import unset_key

    place = unset_key(StateDir(face.state).config_file, key)
    face.answer({"key": key, "file": str(place)}, f"{key} is not set in {place} any more")


@config.command()
@common
@pass_face
def example(face: Face) -> None:
    """A whole configuration file, explained; reading it gives the defaults."""
    text = example_config()
    face.answer({"text": text}, text.rstrip("\n"))


def _file(face: Face, file: Path | None) -> Path:
    return file if file is not None else StateDir(face.state).config_file


def _load(face: Face, file: Path | None) -> Config:
    return load_config(_file(face, file), required=file is not None)


def _tell_all(face: Face, error: BadConfiguration) -> None:
    if face.json:
        places = [{"line": p.line, "message": p.message, "hint": p.hint} for p in error.places]
        described = {"kind": "invalid", "message": error.message, "hint": error.hint}
        click.echo(
            json_line({"error": {**described, "exit_code": error.exit_code, "places": places}}), err=True
        )
        return
    for place in error.places:
        click.echo(f"kos-edge: {where(error.file, place)}: {place.message}", err=True)
        if place.hint:
            click.echo(f"  next: {place.hint}", err=True)
