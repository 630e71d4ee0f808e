"""What every command shares: where the state is, how to answer, how to show that something takes time."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from kos_edge.control.text import json_line
from kos_edge.system import user_id

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Face:
    """One invocation: the state directory asked for, and whether a program reads the answer."""

    chosen_state: Path | None = None
    json: bool = False

    @property
    def state(self) -> Path:
        """The state directory, absolute: --state, or as `kos_edge.node.statedir.default_state` finds it."""
        if self.chosen_state is not None:
            return self.chosen_state.absolute()
        from kos_edge.node.statedir import default_state

        return default_state(os.environ, user_id()).absolute()

    def answer(self, value: Any, text: str) -> None:
        """Print the value as one line of JSON, or the text for people."""
        click.echo(json_line(value) if self.json else text)

    def give_back(self) -> None:
        """What root has made in a state that is another user's, the daemon's say, is that user's from now on."""
        if user_id() == 0:
            with contextlib.suppress(OSError):
                owner = self.state.stat()
                if owner.st_uid != 0:
                    for each in os.scandir(self.state):
                        if each.stat(follow_symlinks=False).st_uid == 0:
                            os.chown(each.path, owner.st_uid, owner.st_gid, follow_symlinks=False)

    def command(self, words: str) -> str:
        """A command to suggest, on the same state."""
        return f"kos-edge --state {self.chosen_state} {words}" if self.chosen_state else f"kos-edge {words}"


pass_face = click.make_pass_decorator(Face, ensure=True)


def common(command: F) -> F:
    """Add --state and --json; given before and after a subcommand, the later one holds."""
    state = click.option(
        "--state",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=_take_state,
        metavar="DIR",
        help="The state directory (or KOS_EDGE_STATE).",
    )
    as_json = click.option(
        "--json", is_flag=True, expose_value=False, callback=_take_json, help="Answer in JSON, for programs."
    )
    return state(as_json(command))


class Progress:
    """A line on the terminal that says how far something is; nothing where standard error is no terminal."""

    _EVERY_S = 0.1

    def __init__(self, face: Face) -> None:
        self._shown = not face.json and sys.stderr.isatty()
        self._next = 0.0

    def say(self, text: str) -> None:
        """Replace the line, at most ten times a second."""
        now = time.monotonic()
        if self._shown and now >= self._next:
            self._next = now + self._EVERY_S
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)

    def done(self) -> None:
        """Take the line away."""
        if self._shown and self._next:
            click.echo("\r\x1b[K", nl=False, err=True)


def _take_state(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.ensure_object(Face).chosen_state = value


def _take_json(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Face).json = True
