"""How long things took: a histogram of fixed size, whatever the count."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

_STEPS = 20  # buckets per factor of ten: a percentile is right to 12 %
_LEAST_S = 1e-4
_BUCKETS = 161  # up to 10,000 s

_COARSE = 8  # buckets in one of the coarser ones
LATENCY_BOUNDS = tuple(
    float(f"{_LEAST_S * 10 ** (place / _STEPS):.3g}") for place in range(0, _BUCKETS, _COARSE)
)
"""Seconds: coarser bounds than those of the buckets, for who draws them."""


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


def coarse(buckets: list[int]) -> tuple[list[int], float]:
    """Counts by LATENCY_BOUNDS, the last one without a bound, and the sum of all times, right to 12 %."""
    counts = [0] * (len(LATENCY_BOUNDS) + 1)
    total = 0.0
    for place, times in enumerate(buckets[:_BUCKETS]):
        if times:
            seconds = _LEAST_S * 10 ** (place / _STEPS)
            counts[min(-(-place // _COARSE), len(LATENCY_BOUNDS))] += times
            total += times * seconds
    return counts, total
