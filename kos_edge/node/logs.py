"""What the daemon writes: entries of systemd's journal where it runs under that, else lines for people, or JSON.

What comes again is held back and counted, whoever says it: docs/logs.md.
"""

from __future__ import annotations

import copy
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from kos_edge.node.log_journal import Journal, is_journal
from kos_edge.node.log_repeats import Again, Repeats
from kos_edge.said import Said

FLUSH_S = 60.0
"""How often counts whose time has come are written."""
IDENTIFIER = "kos-edge"
STDERR = 2

_LONGEST = 2_000  # characters of one message: a peer's text must not fill a disk
_OF_AGENTS = "kos_edge.agents."
_AGENT_LINES = 200  # different lines of an agent's own in an hour
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))  # syslog(3)


def start_logging(level: str, form: str) -> Quiet:
    """Log from `level` on: as `text` or `json` to standard error; `auto` is the journal where that is it, else text."""
    handler: logging.Handler
    if form == "auto" and is_journal(STDERR):
        handler = JournalHandler(Journal())
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(Json() if form == "json" else Text())
    quiet = Quiet(handler)
    root = logging.getLogger()
    root.handlers[:] = [quiet]
    root.setLevel(logging.WARNING)
    logging.getLogger("kos_edge").setLevel(level.upper())
    return quiet


class Quiet(logging.Handler):
    """Lets a line through to `handler` once, and its repeats as counts. Debugging is let through whole."""

    def __init__(self, handler: logging.Handler, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._handler = handler
        self._now = now
        self._ours: Repeats[logging.LogRecord] = Repeats()
        self._agents: Repeats[logging.LogRecord] = Repeats(numbers_count=True, most_of_one=_AGENT_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno > logging.DEBUG:
            own = record.name.startswith(_OF_AGENTS) and not hasattr(record, "kos_event")
            repeats, kind = (
                (self._agents, record.name) if own else (self._ours, f"{record.name} {record.msg}")
            )
            text = shown(record)
            if not repeats.take(kind, text, _bare(record, text), self._now()):
                return
        self._handler.handle(record)

    def flush(self) -> None:
        """Write the counts whose time has come."""
        self._count(all=False)

    def close(self) -> None:
        """Write all counts: what was held back is not lost with the process."""
        self._count(all=True)
        super().close()

    def _count(self, *, all: bool) -> None:
        self.acquire()
        try:
            counts = [
                again for repeats in (self._ours, self._agents) for again in repeats.due(self._now(), all=all)
            ]
            for again in counts:
                self._handler.handle(_counted(again))
        finally:
            self.release()


class Text(logging.Formatter):
    """`12:30:05 WARNING feed: …`, local time."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = "" if record.levelno <= logging.INFO else f"{record.levelname} "
        return f"{clock} {level}{_part(record)}: {shown(record)}"


class Json(logging.Formatter):
    """One object a line: at (RFC 3339 UTC), level, part, message, and where there are any event and fields."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        body = {"at": at, "level": record.levelname.lower(), "part": record.name, "message": shown(record)}
        said: Said | None = getattr(record, "kos_event", None)
        if said is not None:
            body["event"] = said.word
        return json.dumps({**dict(_fields(record)), **body}, ensure_ascii=False)


class JournalHandler(logging.Handler):
    """Entries of systemd's journal; on standard error what that does not take."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal
        self._text = Text()

    def emit(self, record: logging.LogRecord) -> None:
        fields = {
            "MESSAGE": shown(record),
            "PRIORITY": str(next((number for least, number in _PRIORITIES if record.levelno >= least), 7)),
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
            "KOS_PART": _part(record),
        }
        said: Said | None = getattr(record, "kos_event", None)
        if said is not None:
            fields |= {"MESSAGE_ID": said.value, "KOS_EVENT": said.word}
        if record.name.startswith(_OF_AGENTS):
            fields["KOS_AGENT"] = record.name.removeprefix(_OF_AGENTS)
        fields |= {f"KOS_{name.upper()}": str(value) for name, value in _fields(record)}
        if not self._journal.write(fields):
            print(self._text.format(record), file=sys.stderr)

    def close(self) -> None:
        self._journal.close()
        super().close()


def shown(record: logging.LogRecord) -> str:
    """The message on one line, cut to a bearable length."""
    text = record.getMessage()
    if record.exc_info and record.exc_info[0] is not None:
        text += f" [{record.exc_info[0].__name__}: {record.exc_info[1]}]"
    return _plain(text)


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[:_LONGEST])


def _part(record: logging.LogRecord) -> str:
    return record.name.removeprefix("kos_edge.")


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    """What the record is about, by name; numbers stay numbers."""
    fields: dict[str, Any] = getattr(record, "kos_fields", {})
    for name, value in fields.items():
        yield name, value if isinstance(value, int | float) else _plain(str(value))


def _bare(record: logging.LogRecord, text: str) -> logging.LogRecord:
    """What is kept of a line for hours: an error's traceback would keep everything alive that was at work then."""
    kept = copy.copy(record)
    kept.msg, kept.args, kept.exc_info, kept.exc_text = text, (), None, None
    return kept


def _counted(again: Again[logging.LogRecord]) -> logging.LogRecord:
    """The last of many, with their count."""
    record = copy.copy(again.line)
    times, within = again.times, again.within_s
    word = "time" if times == 1 else "times"
    record.msg = f"{again.line.msg} ({times:,} {word} more in {_span(within)})"
    record.created = time.time()
    record.kos_fields = {
        **getattr(again.line, "kos_fields", {}),
        "times": times,
        "within_s": round(within),
    }
    return record


def _span(seconds: float) -> str:
    return f"{round(seconds / 3600)} h" if seconds >= 3_000 else f"{max(1, round(seconds / 60))} min"
