"""Repeats in the log: what comes again and again is said once, and then counted.

A machine: it takes a line and `now` (monotonic seconds), and says whether the line is to be written; `due` gives the
counts whose time has come. The pauses grow from an hour to a day: what fails for a month costs a line a day.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

FIRST_S = 3_600.0
LONGEST_S = 86_400.0
MOST_KEYS = 512
"""Different lines that are remembered; for a new one the oldest is forgotten, its count said before."""
MOST_AT_ONCE = 2 * MOST_KEYS
"""While the next counts are due: from there on new kinds share one, for a flood of them is no news."""
MOST_OF_ONE = 20
"""Different lines of one kind in its pause: whoever can choose the text of a line must not fill a card with it."""

_FLOOD = ""
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Again(Generic[T]):
    """A line that came `times` more within `within_s`; `line` is the last of them."""

    line: T
    times: int
    within_s: float


@dataclass(slots=True)
class _Kept(Generic[T]):
    line: T
    since: float
    pause_s: float = FIRST_S
    times: int = 0
    others: set[str] = field(default_factory=set)


class Repeats(Generic[T]):
    """Lines by what they are: `kind` is the same for all that come from one place, `text` differs."""

    def __init__(self, *, numbers_count: bool = False, most_of_one: int = MOST_OF_ONE) -> None:
        self._numbers_count = numbers_count
        self._most_of_one = most_of_one
        self._kept: OrderedDict[tuple[str, str], _Kept[T]] = OrderedDict()

    def take(self, kind: str, text: str, line: T, now: float) -> bool:
        """Whether the line is to be written; else it counts."""
        if len(self._kept) >= MOST_AT_ONCE and (kind, "") not in self._kept:
            kind = _FLOOD
        shape = text if self._numbers_count else _DIGITS.sub("#", text)
        of_kind = self._kept.setdefault((kind, ""), _Kept(line, now))
        kept = self._kept.get((kind, shape))
        if kept is None:
            if len(of_kind.others) >= self._most_of_one:
                of_kind.line, of_kind.times = line, of_kind.times + 1
                return False
            of_kind.others.add(shape)
            self._kept[(kind, shape)] = _Kept(line, now)
            return True
        kept.line, kept.times = line, kept.times + 1
        return False

    def due(self, now: float, *, all: bool = False) -> list[Again[T]]:
        """The counts whose pause is over, or `all`; what has not come again is forgotten and will be news."""
        found: list[Again[T]] = []
        for key, kept in list(self._kept.items()):
            passed = now - kept.since
            surplus = len(self._kept) > MOST_KEYS
            if not (passed >= kept.pause_s or all or surplus):
                continue
            if kept.times:
                found.append(Again(kept.line, kept.times, passed))
            if not kept.times or surplus:
                del self._kept[key]
                of_kind = self._kept.get((key[0], ""))
                if of_kind is not None:
                    of_kind.others.discard(key[1])
            else:
                kept.since, kept.times = now, 0
                kept.pause_s = min(2 * kept.pause_s, LONGEST_S)
        return found
