"""When a sensor is due: at its start and then every so often, without drift."""

from __future__ import annotations

import math
import re

from kos_edge.errors import Invalid

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")

_SHORTEST_PERIOD = 0.001
"""Seconds. Below this the event loop, not the sensor, would be measured."""

_NEARLY = 1e-9
"""Periods. A tick this close counts as reached: 0.1 s added up as floats misses by less."""


def seconds(duration: float | str) -> float:
    """Seconds in a duration: a number of seconds, or text such as "100ms", "30s", "5m", "1h", "7d".

    Raises Invalid for anything else, for a negative duration and for one that is not finite.
    """
    if isinstance(duration, str):
        match = _DURATION.fullmatch(duration.strip())
        if match is None or match[2] not in _UNITS:
            raise Invalid(
                f"{duration!r} is not a duration", hint='write "100ms", "30s", "5m", "1h" or seconds'
            )
        return float(match[1]) * _UNITS[match[2]]
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        raise Invalid(f"{duration!r} is not a duration", hint='write "100ms", "30s", "5m", "1h" or seconds')
    if not math.isfinite(duration) or duration < 0:
        raise Invalid(f"{duration!r} is not a duration", hint="it must be finite and not negative")
    return float(duration)


class Schedule:
    """The ticks start, start + every, start + 2 every … on the monotonic clock.

    Each tick is computed from the start, so nothing adds up. A tick that passed while the one before was
    still being worked on is skipped and counted, never made up for.
    """

    def __init__(self, every: float, start: float) -> None:
        if every < _SHORTEST_PERIOD:
            raise Invalid(f"every {every:g} s is too often", hint="the shortest period is 1ms")
        self.every = every
        self.start = start
        self.skipped = 0
        self._next = 0

    def due(self, now: float) -> float:
        """The moment of the next tick: `now` or later; those before `now` are skipped.

        The first is `start`.
        """
        if self._next > 0:
            reached = math.ceil((now - self.start) / self.every - _NEARLY)
            if reached > self._next:
                self.skipped += reached - self._next
                self._next = reached
        moment = self.start + self._next * self.every
        self._next += 1
        return moment
