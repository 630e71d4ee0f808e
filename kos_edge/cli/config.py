"""config check, show and example."""

from __future__ import annotations

from pathlib import Path

import click

from kos_edge.cli.face import Face, common, pass_face
from kos_edge.control.text import json_line
from kos_edge.node.config import (
    BadConfiguration,
    Config,
    example_config,
    load_config,
    shown_config,
    where,
)
from kos_edge.node.settings import toml_text
from kos_edge.node.statedir import CONFIG_NAME

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
@common
@pass_face
def show(face: Face, file: Path | None) -> None:
    """The configuration as it takes effect, defaults included."""
    shown = shown_config(_load(face, file))
    tables = {name: table for name, table in shown.items() if name != "topic"}
    tables |= {f"topic.{json_line(filter)}": table for filter, table in shown["topic"].items()}
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


@config.command()
@common
@pass_face
def example(face: Face) -> None:
    """A whole configuration file, explained; reading it gives the defaults."""
    text = example_config()
    face.answer({"text": text}, text.rstrip("\n"))


def _file(face: Face, file: Path | None) -> Path:
    return file if file is not None else face.state / CONFIG_NAME


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
