"""How long things took: a histogram of fixed size, whatever the count."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

_STEPS = 20  # buckets per factor of ten: a percentile is right to 12 %
_LEAST_S = 1e-4
_BUCKETS = 161  # up to 10,000 s


@dataclass(slots=True)
class Latency:
    """Counts by logarithmic bucket of seconds."""

    buckets: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    count: int = 0

    def add(self, seconds: float, times: int = 1) -> None:
        """`times` events took `seconds` each."""
        place = math.ceil(_STEPS * math.log10(max(seconds, _LEAST_S) / _LEAST_S))
        self.buckets[min(place, _BUCKETS - 1)] += times
        self.count += times

    def merge(self, buckets: list[int]) -> None:
        """Add the buckets of another histogram."""
        for place, times in enumerate(buckets[:_BUCKETS]):
            self.buckets[place] += times
            self.count += times

    def percentile(self, share: float) -> float | None:
        """Seconds within which `share` (0 to 1) of the events lay; None without any."""
        if not self.count:
            return None
        wanted = share * self.count
        seen = 0
        for place, times in enumerate(self.buckets):
            seen += times
            if times and seen >= wanted:
                return float(_LEAST_S * 10 ** (place / _STEPS))
        return None
