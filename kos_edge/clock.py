"""Time as a value that is handed in: wall clock for stamps, monotonic clock for intervals."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where a part takes its time from."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back, does not jump."""
        ...

    def wall(self) -> float:
        """Seconds since 1970-01-01T00:00:00Z as this machine believes; may jump either way."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class ManualClock:
    """A clock that moves only when told to: for tests and simulations."""

    def __init__(self, *, monotonic: float = 0.0, wall: float = 1_800_000_000.0) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks; they must not be negative."""
        if seconds < 0:
            raise ValueError("time does not run backwards; use step_wall to move the wall clock")
        self._monotonic += seconds
        self._wall += seconds

    def step_wall(self, seconds: float) -> None:
        """Move the wall clock alone, as NTP or a careless person would."""
        self._wall += seconds
