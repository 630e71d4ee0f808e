"""From the words of a command line to an exit code; whatever goes wrong becomes one line and the next step.

Exit codes: 0 done, 2 a command line that is no command, 130 interrupted (128 + SIGINT), 141 nobody reads the
output any more (128 + SIGPIPE), else that of the error (`kos_edge.errors`); docs/cli.md lists them.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from kos_edge.cli.commands import kos_edge
from kos_edge.cli.show import clean
from kos_edge.errors import KosError, Unavailable

USAGE = 2
BUG = 70
INTERRUPTED = 130
NOBODY_READS = 141

NAME = "kos-edge"
COMPLETE = "_KOS_EDGE_COMPLETE"
"""The variable in which a shell asks for words that complete a line."""


def main() -> NoReturn:
    """The ``kos-edge`` command."""
    if COMPLETE in os.environ:
        kos_edge.main(prog_name=NAME)
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Do what the words say and return the exit code. Raises nothing that a person could have caused."""
    as_json = "--json" in words
    try:
        with kos_edge.make_context(NAME, list(words)) as context:
            code = kos_edge.invoke(context)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        return _usage(error, as_json)
    except click.ClickException as error:
        return _say("usage", error.format_message(), None, USAGE, as_json)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return NOBODY_READS
    except KosError as error:
        return _tell(error, as_json)
    except OSError as error:
        _drop_output()
        what = f"cannot use {error.filename}" if error.filename else "cannot write the output"
        return _tell(Unavailable(f"{what}: {error.strerror}"), as_json)
    except Exception as error:
        if "KOS_EDGE_TRACEBACK" in os.environ:
            raise
        what = f"a bug: {type(error).__name__}: {error}"
        return _say("misuse", what, "see where with KOS_EDGE_TRACEBACK=1, and report it", BUG, as_json)


def _tell(error: KosError, as_json: bool) -> int:
    from kos_edge.control.wire import failure

    return _say(failure(error)["kind"], error.message, error.hint, error.exit_code, as_json)


def _usage(error: click.UsageError, as_json: bool) -> int:
    message = error.format_message().rstrip(".")
    path = error.ctx.command_path if error.ctx else NAME
    return _say("usage", message[:1].lower() + message[1:], f"{path} --help", USAGE, as_json)


def _say(kind: str, message: str, hint: str | None, code: int, as_json: bool) -> int:
    if as_json:
        error = {"kind": kind, "message": message, "hint": hint, "exit_code": code}
        text = json.dumps({"error": error}, ensure_ascii=False)
    else:
        text = f"{NAME}: {_one_line(message)}"
        if hint:
            text += f"\n  next: {_one_line(hint)}"
    with contextlib.suppress(BrokenPipeError):
        click.echo(text, err=True)
    return code


def _one_line(text: str) -> str:
    return clean(" ".join(text.split()))


def _drop_output() -> None:
    """Let the flush at the end of the process find somebody who reads."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
