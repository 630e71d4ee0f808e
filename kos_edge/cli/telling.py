"""Whatever goes wrong becomes one line, the next step, and an exit code.

Exit codes: 0 done, 2 a command line that is no command, 130 interrupted (128 + SIGINT), 141 nobody reads the
output any more (128 + SIGPIPE), else that of the error (`kos_edge.errors`); docs/cli.md lists them.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable

from kos_edge.cli.show import clean
from kos_edge.errors import KosError, Unavailable

USAGE = 2
BUG = 70
INTERRUPTED = 130
NOBODY_READS = 141

NAME = "kos-edge"


def told(work: Callable[[], int], as_json: bool) -> int:
    """The exit code of `work`, or of what it raised, once that is told. KOS_EDGE_TRACEBACK lets a bug through."""
    try:
        code = work()
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
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
        return say("misuse", what, "see where with KOS_EDGE_TRACEBACK=1, and report it", BUG, as_json)


def say(kind: str, message: str, hint: str | None, code: int, as_json: bool) -> int:
    """Tell an error on standard error, and give its code back."""
    if as_json:
        error = {"kind": kind, "message": message, "hint": hint, "exit_code": code}
        text = json.dumps({"error": error}, ensure_ascii=False)
    else:
        text = f"{NAME}: {_one_line(message)}"
        if hint:
            text += f"\n  next: {_one_line(hint)}"
    with contextlib.suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)
    return code


def _tell(error: KosError, as_json: bool) -> int:
    from kos_edge.control.wire import failure

    return say(failure(error)["kind"], error.message, error.hint, error.exit_code, as_json)


def _one_line(message: str) -> str:
    return clean(" ".join(message.split()))


def _drop_output() -> None:
    """Let the flush at the end of the process find somebody who reads."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
