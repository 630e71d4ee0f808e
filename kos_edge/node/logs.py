"""What the daemon writes to standard error: lines for people, or JSON objects."""

from __future__ import annotations

import json
import logging
import sys
import time

_LONGEST = 2_000  # characters of one message: a peer's text must not fill a disk


def start_logging(level: str, form: str) -> None:
    """Log to standard error from `level` on, as `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("kos_edge").setLevel(level.upper())


class _Text(logging.Formatter):
    """`12:30:05 WARNING feed: …`, local time."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = "" if record.levelno <= logging.INFO else f"{record.levelname} "
        return f"{clock} {level}{record.name.removeprefix('kos_edge.')}: {_shown(record)}"


class _Json(logging.Formatter):
    """One object a line: at (RFC 3339 UTC), level, part, message."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        body = {"at": at, "level": record.levelname.lower(), "part": record.name, "message": _shown(record)}
        return json.dumps(body, ensure_ascii=False)


def _shown(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[0] is not None:
        text += f" [{record.exc_info[0].__name__}: {record.exc_info[1]}]"
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[:_LONGEST])
