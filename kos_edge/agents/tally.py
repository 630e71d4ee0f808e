"""What is known of a running agent: counts, the last error, the last value.
Values for people and for JSON.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from kos_edge.clock import Clock
from kos_edge.said import Said

WARN_AGAIN = 3600.0
"""Seconds. An error that repeats is a WARNING once, then DEBUG; after an hour a person is told again."""

_PACKAGE = __file__.rpartition("agents")[0]
"""Where our own files lie; the first frame outside is the author's."""

_TEXT_SHOWN = 200
"""Characters of an error's text that are shown; it may come from a peer or from a device."""


@dataclass(frozen=True, slots=True)
class FunctionStatus:
    """One function of an agent. Times: `…_s` seconds, `…_at` wall clock seconds since 1970."""

    name: str
    kind: str
    about: str
    state: str
    runs: int
    errors: int
    refused: int
    retries: int
    skipped: int
    published: int
    last_error: str | None
    last_error_at: float | None
    last_duration_s: float | None
    last_value_at: float | None
    running_s: float | None


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """One agent.

    `state` is starting, running, stuck, failed or stopped; `reason` says why where it matters.
    """

    name: str
    state: str
    reason: str | None
    functions: tuple[FunctionStatus, ...]
    blocked_loop: int
    """How often a coroutine of this agent held up the event loop."""

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


@dataclass(slots=True)
class Tally:
    """The running counts of one function."""

    name: str
    kind: str
    about: str
    clock: Clock
    log: logging.Logger
    stuck_after: float
    runs: int = 0
    errors: int = 0
    refused: int = 0
    retries: int = 0
    skipped: int = 0
    published: int = 0
    last_error: str | None = None
    last_error_at: float | None = None
    last_duration_s: float | None = None
    last_value_at: float | None = None
    since: float | None = None
    """Since when it runs, on the monotonic clock."""
    _warned: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around one run of the function, on whichever thread it runs."""
        begun = self.since = self.clock.monotonic()
        self.runs += 1
        try:
            yield
        finally:
            self.since = None
            self.last_duration_s = self.clock.monotonic() - begun

    def is_stuck(self) -> bool:
        """Whether it has been running for too long."""
        since = self.since
        return since is not None and self.clock.monotonic() - since >= self.stuck_after

    def failed(self, error: BaseException) -> None:
        """Count an error and log it: WARNING the first time, DEBUG when it repeats."""
        self.errors += 1
        self._tell(error)

    def refuse(self, error: BaseException) -> None:
        """Count a value that was no reading; it is logged like an error."""
        self.refused += 1
        self._tell(error)

    def status(self) -> FunctionStatus:
        since = self.since
        running = None if since is None else self.clock.monotonic() - since
        return FunctionStatus(
            name=self.name,
            kind=self.kind,
            about=self.about,
            state="stuck" if self.is_stuck() else "idle" if running is None else "running",
            runs=self.runs,
            errors=self.errors,
            refused=self.refused,
            retries=self.retries,
            skipped=self.skipped,
            published=self.published,
            last_error=self.last_error,
            last_error_at=self.last_error_at,
            last_duration_s=self.last_duration_s,
            last_value_at=self.last_value_at,
            running_s=running,
        )

    def _tell(self, error: BaseException) -> None:
        text = told(error)
        self.last_error, self.last_error_at = text, self.clock.wall()
        now, kind = self.clock.monotonic(), type(error).__name__
        seen = self._warned.get(kind)
        if seen is None or now - seen >= WARN_AGAIN:
            self._warned[kind] = now
            self.log.warning(
                "%s %s: %s", self.kind, self.name, text, extra=Said.AGENT_FAILED.of(function=self.name)
            )
        else:
            self.log.debug("%s %s: %s", self.kind, self.name, text)
        self.log.debug("%s %s: traceback", self.kind, self.name, exc_info=error)


def told(error: BaseException) -> str:
    """One line for a person: the exception, its text, and the line of the author's file that raised it."""
    text = shown(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    frames = traceback.extract_tb(error.__traceback__)
    outer = [frame for frame in frames if not frame.filename.startswith(_PACKAGE)]
    if not outer:
        return text
    return f"{text} ({outer[0].filename.rsplit('/', 1)[-1]}:{outer[0].lineno})"


def shown(text: str) -> str:
    """Text that may be shown or logged: no control characters, cut to a bearable length."""
    plain = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return plain if len(plain) <= _TEXT_SHOWN else plain[: _TEXT_SHOWN - 1] + "…"
