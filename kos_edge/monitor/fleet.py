"""The fleet as a hub sees it: the newest heartbeat of each member, in memory, and what is to be said of each.

A machine: it takes beats, members and `now` (monotonic seconds), and gives states and events. It holds one beat for
each member at most; whoever is no member any more is forgotten with the next look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from kos_edge.monitor.beat import Beat

LATE_BEATS = 1.5
"""After so many intervals the next one is late: a beat may wait for a busy link."""
SILENT_BEATS = 3.0
"""After so many three in a row are missing, which no link loses by accident."""
FIRST_S = 180.0
"""How long after its start a hub waits for members that it has not heard yet: three beats of the default."""
HOT_C = 80.0
"""From here a Raspberry Pi slows its processor down."""
DISK_FULL, MEMORY_FULL, QUEUE_FULL = 0.90, 0.95, 0.80


Word = Literal["ok", "late", "silent", "warning", "unknown"]


class State(IntEnum):
    """How a member is; the worst has the lowest number."""

    SILENT = 0
    WARNING = 1
    LATE = 2
    OK = 3
    UNKNOWN = 4
    """It was never heard, and need not have been."""

    @property
    def text(self) -> Word:
        return _WORDS[self]


_WORDS: dict[State, Word] = {
    State.SILENT: "silent",
    State.WARNING: "warning",
    State.LATE: "late",
    State.OK: "ok",
    State.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What is to be said of one member: `reason` where it is not well, `heard_s` how long ago its beat came."""

    state: State
    reason: str | None = None
    beat: Beat | None = None
    heard_s: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Members, by kid, that have gone silent and that are back since the look before."""

    silent: tuple[bytes, ...]
    back: tuple[bytes, ...]


class Fleet:
    """`silences` counts how often a member has gone silent."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._beats: dict[bytes, tuple[Beat, float]] = {}
        self._silent: set[bytes] = set()
        self.silences = 0

    def __len__(self) -> int:
        return len(self._beats)

    def hear(self, kid: bytes, beat: Beat, now: float) -> None:
        """A member's newest beat."""
        self._beats[kid] = (beat, now)

    def standing(self, kid: bytes, now: float, *, expected: bool = True) -> Standing:
        """How a member is. One that is `expected` to have a heart is silent where it was never heard."""
        found = self._beats.get(kid)
        if found is None:
            if expected and now - self._since > FIRST_S:
                return Standing(State.SILENT, "not heard since this hub started")
            return Standing(State.UNKNOWN)
        beat, at = found
        age = now - at
        if age > SILENT_BEATS * beat.every_s:
            return Standing(State.SILENT, f"{int(age // beat.every_s)} beats are missing", beat, age)
        trouble = _trouble(beat)
        if trouble is not None:
            return Standing(State.WARNING, trouble, beat, age)
        if age > LATE_BEATS * beat.every_s:
            return Standing(State.LATE, "a beat is missing", beat, age)
        return Standing(State.OK, None, beat, age)

    def look(self, members: Mapping[bytes, bool], now: float) -> Change:
        """What has changed; `members` says of each whether it is expected to have a heart. Others are forgotten."""
        for kid in self._beats.keys() - members.keys():
            del self._beats[kid]
        silent = {
            kid
            for kid, expected in members.items()
            if self.standing(kid, now, expected=expected).state is State.SILENT
        }
        gone, back = silent - self._silent, (self._silent - silent) & members.keys()
        self._silent = silent
        self.silences += len(gone)
        return Change(
            tuple(kid for kid in members if kid in gone), tuple(kid for kid in members if kid in back)
        )


def _trouble(beat: Beat) -> str | None:
    """The first thing that somebody should look at."""
    if beat.warnings:
        more = f" (and {beat.warnings - 1} more)" if beat.warnings > 1 else ""
        return f"{beat.warning or 'it warns'}{more}"
    for part, most, what in (
        (beat.disk, DISK_FULL, "its disk is {:.0%} full"),
        (beat.queue, QUEUE_FULL, "its queue is {:.0%} full"),
        (beat.memory, MEMORY_FULL, "{:.0%} of its memory is used"),
    ):
        if part is not None and part >= most:
            return what.format(part)
    if beat.temperature_c is not None and beat.temperature_c >= HOT_C:
        return f"it is {beat.temperature_c:.0f} °C hot"
    return None
