"""From the words of a command line to an exit code; what goes wrong is told (`telling`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from kos_edge.cli import COMPLETE
from kos_edge.cli.commands import kos_edge
from kos_edge.cli.telling import INTERRUPTED, NAME, USAGE, say, told


def begin(words: Sequence[str]) -> NoReturn:
    """Do what the words say, or complete them for a shell, and end the process."""
    if COMPLETE in os.environ:
        kos_edge.main(prog_name=NAME)
    sys.exit(run(words))


def run(words: Sequence[str]) -> int:
    """Do what the words say and return the exit code. Raises nothing that a person could have caused."""
    as_json = "--json" in words
    return told(lambda: _obey(words, as_json), as_json)


def _obey(words: Sequence[str], as_json: bool) -> int:
    try:
        with kos_edge.make_context(NAME, list(words)) as context:
            code = kos_edge.invoke(context)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        return _usage(error, as_json)
    except click.ClickException as error:
        return say("usage", error.format_message(), None, USAGE, as_json)
    except click.Abort:
        return INTERRUPTED


def _usage(error: click.UsageError, as_json: bool) -> int:
    message = error.format_message().rstrip(".")
    path = error.ctx.command_path if error.ctx else NAME
    return say("usage", message[:1].lower() + message[1:], f"{path} --help", USAGE, as_json)
