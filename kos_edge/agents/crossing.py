"""Thresholds with hysteresis: one True on the way out, one False on the way back, nothing in between."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

from kos_edge.errors import Invalid

_SERIES_KEPT = 4096
"""Series of values (source, topic) whose side is remembered; beyond it the one quiet for longest is
forgotten.
"""


@dataclass(frozen=True, slots=True)
class Band:
    """`above` a limit (or `below` one) the answer is True, and it stays so `until` the value is back.

    `Band(above=30, until=28)`: True at more than 30, False at 28 or less. `until` defaults to the limit
    itself.
    """

    above: float | None = None
    below: float | None = None
    until: float | None = None

    def __post_init__(self) -> None:
        if (self.above is None) == (self.below is None):
            raise Invalid("a threshold is either above= or below=", hint="use two handlers for a range")
        for limit in (self.above, self.below, self.until):
            if limit is not None and not math.isfinite(limit):
                raise Invalid(f"{limit} is no threshold")
        if self.until is None:
            return
        if self.above is not None and self.until > self.above:
            raise Invalid(
                f"until={self.until:g} is beyond above={self.above:g}", hint="it must not be greater"
            )
        if self.below is not None and self.until < self.below:
            raise Invalid(f"until={self.until:g} is beyond below={self.below:g}", hint="it must not be less")

    def side(self, value: float, was: bool) -> bool:
        """Whether `value` is out of bounds, given whether the one before it was."""
        if self.above is not None:
            back = self.above if self.until is None else self.until
            return value > self.above or (was and value > back)
        assert self.below is not None
        back = self.below if self.until is None else self.until
        return value < self.below or (was and value < back)


@dataclass(slots=True)
class Crossings:
    """Which side of one band each series of values is on. A series begins within bounds."""

    band: Band
    _out: OrderedDict[Hashable, bool] = field(default_factory=OrderedDict)

    def crossed(self, series: Hashable, value: float) -> bool | None:
        """True or False when this value changes sides, None when it does not.

        Changes nothing: see `settle`.
        """
        was = self._out.get(series, False)
        is_out = self.band.side(value, was)
        return None if is_out == was else is_out

    def settle(self, series: Hashable, side: bool) -> None:
        """Remember the side of a series, once whoever had to be told has been told."""
        self._out[series] = side
        self._out.move_to_end(series)
        if len(self._out) > _SERIES_KEPT:
            self._out.popitem(last=False)
