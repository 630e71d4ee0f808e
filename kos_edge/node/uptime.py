"""Two clocks that no step of the wall clock moves: accumulated uptime, and the calendar as it was first believed.

Ages come from them (protocol.md 6). **Uptime** counts while this node runs and goes on after a restart; power-off time
is not in it. **Steady time** is the wall clock of the first moment that it was set, carried on by the monotonic clock;
over a restart it counts the time between by the wall clock, corrected by what that was moved since. It never goes back.
A node whose clock is not set takes it from its hub, corrected by how much they differed when it had a time of its own.
"""

from __future__ import annotations

from collections.abc import Collection

from kos_edge.clock import Clock
from kos_edge.store.database import Database
from kos_edge.store.outbox import Stamp
from kos_edge.store.store import Store

FLOOR_S = (
    1_767_225_600.0  # 2026-01-01T00:00:00Z, before this code was built: an earlier wall clock is not set
)
DEFAULT_UNCERTAINTY_MS = 1_000  # an NTP-disciplined Pi is far better; timekeeping measures it later
SLEW_MS = 250  # the wall clock may drift by so much from steady time before that is written down

LATEST_S = FLOOR_S + 100 * 365.25 * 86_400  # nobody's time is later: it would count for nothing but harm

_OFFSET_KEY = "steady"
_HUB_OFFSET_KEY = "steady of "  # and the hub's kid


class Uptime:
    """`base_ms` is what had accumulated before this start; `offset_ms` by how much steady time was ahead of the wall
    clock then, and `newest_ms` a steady time that has been.
    """

    def __init__(self, clock: Clock, base_ms: int = 0, *, offset_ms: int = 0, newest_ms: int = 0) -> None:
        self._clock = clock
        self._base_ms = base_ms
        self._started = clock.monotonic()
        self._offset_ms = offset_ms
        self._newest_ms = newest_ms
        self._steady_base_ms: int | None = None
        self._kept_of: dict[bytes, int] = {}  # by hub: how far ahead of its time ours was, as written down
        self._ahead_of: dict[bytes, int] = {}  # and as it was when last heard

    @classmethod
    def of(cls, clock: Clock, store: Store, own: Collection[bytes]) -> Uptime:
        """As the store knows it."""
        kept = store.database.get(_OFFSET_KEY)
        offset_ms = 0 if kept is None else int.from_bytes(kept, "big", signed=True)
        uptime = cls(
            clock, store.outbox.uptime_ms(own), offset_ms=offset_ms, newest_ms=store.packs.newest_at() or 0
        )
        uptime._kept_of = {
            bytes.fromhex(hub): int.from_bytes(value, "big", signed=True)
            for hub, value in store.database.under(_HUB_OFFSET_KEY).items()
        }
        return uptime

    def ms(self) -> int:
        """Accumulated uptime in ms."""
        return self._base_ms + round((self._clock.monotonic() - self._started) * 1000)

    def wall_ms(self) -> int | None:
        """The wall clock in ms since 1970, None while it is known to be wrong (a 1970 boot)."""
        wall = self._clock.wall()
        return round(wall * 1000) if wall >= FLOOR_S else None

    def steady_ms(self) -> int | None:
        """Steady time in ms since 1970, None while the wall clock has not been set since the start."""
        if self._steady_base_ms is None:
            wall_ms = self.wall_ms()
            if wall_ms is None:
                return None
            self._steady_base_ms = max(wall_ms + self._offset_ms, self._newest_ms) - self.ms()
        return self._steady_base_ms + self.ms()

    def heard(self, hub: bytes, time_ms: int) -> None:
        """The steady time of the hub with this kid, by its own protected word; believed where the clock is not set.

        Not where something was stamped by another time, and nobody knows by how much that differs from this hub's.
        """
        if not FLOOR_S <= time_ms / 1000 <= LATEST_S:
            return
        steady_ms = self.steady_ms()
        if steady_ms is None:
            if self._newest_ms and hub not in self._kept_of:
                return
            steady_ms = max(time_ms + self._kept_of.get(hub, 0), self._newest_ms)
            self._steady_base_ms = steady_ms - self.ms()
        self._ahead_of[hub] = steady_ms - time_ms

    def shown_ms(self, steady_ms: int) -> int:
        """A steady time as the wall clock would say it now, for people; the same each time until that is moved."""
        if self.wall_ms() is None:
            return steady_ms
        moved_ms = self._moved_ms()
        return steady_ms - (self._offset_ms if moved_ms is None else moved_ms)

    def keep(self, database: Database) -> None:
        """Just before a commit: write down how far the wall clock and hubs' times are off, where that is news."""
        moved_ms = self._moved_ms()
        if moved_ms is not None:
            database.put(_OFFSET_KEY, moved_ms.to_bytes(8, "big", signed=True))
            self._offset_ms = moved_ms
        for hub, ahead_ms in list(self._ahead_of.items()):
            kept_ms = self._kept_of.get(hub)
            if kept_ms is None or abs(ahead_ms - kept_ms) > SLEW_MS:
                database.put(_HUB_OFFSET_KEY + hub.hex(), ahead_ms.to_bytes(8, "big", signed=True))
                self._kept_of[hub] = ahead_ms

    def _moved_ms(self) -> int | None:
        """By how much steady time is ahead now, where the wall clock was moved since that was written down."""
        wall_ms, steady_ms = self.wall_ms(), self.steady_ms()
        if wall_ms is None or steady_ms is None:
            return None
        offset_ms = steady_ms - wall_ms
        return offset_ms if abs(offset_ms - self._offset_ms) > SLEW_MS else None

    def stamp(self) -> Stamp:
        """This moment."""
        wall = self.wall_ms()
        return Stamp(self.ms(), wall, None if wall is None else DEFAULT_UNCERTAINTY_MS, self.steady_ms())
