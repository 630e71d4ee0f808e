"""Accumulated uptime: a clock that counts while this node runs, goes on after a restart, and never jumps.

Ages come from it (protocol.md 6). Power-off time is not in it; the wall clock adds that where both ends know it.
"""

from __future__ import annotations

from kos_edge.clock import Clock
from kos_edge.store.outbox import Stamp

FLOOR_S = (
    1_767_225_600.0  # 2026-01-01T00:00:00Z, before this code was built: an earlier wall clock is not set
)
DEFAULT_UNCERTAINTY_MS = 1_000  # an NTP-disciplined Pi is far better; timekeeping measures it later


class Uptime:
    """`base_ms` is what had accumulated before this start."""

    def __init__(self, clock: Clock, base_ms: int = 0) -> None:
        self._clock = clock
        self._base_ms = base_ms
        self._started = clock.monotonic()

    def ms(self) -> int:
        """Accumulated uptime in ms."""
        return self._base_ms + round((self._clock.monotonic() - self._started) * 1000)

    def wall_ms(self) -> int | None:
        """The wall clock in ms since 1970, None while it is known to be wrong (a 1970 boot)."""
        wall = self._clock.wall()
        return round(wall * 1000) if wall >= FLOOR_S else None

    def stamp(self) -> Stamp:
        """This moment."""
        wall = self.wall_ms()
        return Stamp(self.ms(), wall, None if wall is None else DEFAULT_UNCERTAINTY_MS)
