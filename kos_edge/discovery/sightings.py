"""Who has been heard of, within bounds: a machine.

Anyone on the link can forge any number of names. So at most `limit` are remembered, new ones count at a
limited rate, and when there is no room, the one that was heard of longest ago makes way, unless it is pinned:
proved by a handshake.
"""

from __future__ import annotations

from dataclasses import dataclass

from kos_edge.discovery.sighting import Event, Found, Lost

LIMIT = 1_024
"""Names to remember: a thousand nodes on one link, and about a megabyte when all are forged."""
NEW_PER_SECOND = 20.0
"""New names that count, after a first burst of `limit`; the others are heard again at the next question."""
LONGEST = 7_200.0
"""Seconds for which a record is believed at most: the 75 minutes of RFC 6762, section 10, and some."""


@dataclass(slots=True)
class _Sighting:
    found: Found
    until: float
    pinned: bool = False


class Sightings:
    """Found and Lost, each said once, from what is heard again and again. `now` is monotonic, in seconds."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.passed_over = 0
        """New names that did not count, because there were too many."""
        self._known: dict[bytes, _Sighting] = {}
        self._allowance = float(limit)
        self._allowed_at = 0.0

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, kid: bytes) -> bool:
        return kid in self._known

    def heard(self, kid: bytes, found: Found, now: float, ttl: float | None = None) -> list[Event]:
        """Somebody speaks for `kid`: for `ttl` seconds from now, or for as long as before."""
        known = self._known.pop(kid, None)
        if known is not None:
            until = known.until if ttl is None else now + min(ttl, LONGEST)
            self._known[kid] = _Sighting(found, until, known.pinned)
            return [] if found == known.found else [found]
        if ttl is None:
            return []
        events = self._make_room(now)
        if events is None:
            self.passed_over += 1
            return []
        self._known[kid] = _Sighting(found, now + min(ttl, LONGEST))
        return [*events, found]

    def gone(self, kid: bytes) -> list[Event]:
        """It said goodbye, or somebody did in its name."""
        return [Lost(kid)] if self._known.pop(kid, None) else []

    def expire(self, now: float) -> list[Event]:
        """Forget whose time has run out."""
        over = [kid for kid, sighting in self._known.items() if sighting.until <= now]
        return [event for kid in over for event in self.gone(kid)]

    def pin(self, kid: bytes) -> None:
        """It has proved its key: forged names cannot push it out."""
        if kid in self._known:
            self._known[kid].pinned = True

    def refresh_at(self) -> float | None:
        """When to ask again, so that nobody who is still there runs out; None when nobody is known."""
        return min((sighting.until for sighting in self._known.values()), default=None)

    def _make_room(self, now: float) -> list[Event] | None:
        """Let one more in: what had to go for it; None when it has to stay out."""
        self._allowance = min(self.limit, self._allowance + (now - self._allowed_at) * NEW_PER_SECOND)
        self._allowed_at = now
        if self._allowance < 1:
            return None
        events: list[Event] = []
        if len(self._known) >= self.limit:
            oldest = next((kid for kid, sighting in self._known.items() if not sighting.pinned), None)
            if oldest is None:
                return None
            events = self.gone(oldest)
        self._allowance -= 1
        return events
