"""Limits of the queue: how much may wait, and what has to go when something new does not fit.

A machine: it is told what stands in the queue and what arrives, and names the exact victims or refuses. Dropping
them, with a tombstone each, is the store's.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

from kos_edge.errors import Unavailable
from kos_edge.klp.stream import Priority

LEVELS = (50, 80, 95)  # percent of a limit at which a person is told
_HINT = "it drains as soon as the audience is reachable: kos-edge queue, kos-edge peers"
HYSTERESIS = 5  # percent below a level before reaching it again is news


class WhenFull(Enum):
    """What happens to a message that does not fit."""

    REJECT = "reject"  # it is refused
    DROP_OLDEST = "drop-oldest"  # the oldest go, but critical ones for a critical one only
    DROP_LOWEST = (
        "drop-lowest-priority"  # the oldest of the lowest priority go, none of a higher one than its own
    )


class Standing(Protocol):
    """One pack in the queue, or with a `gone` reason a tombstone, which costs nothing. Ids rise as they arrive."""

    @property
    def id(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def gone(self) -> object | None: ...


S = TypeVar("S", bound=Standing)


@dataclass(frozen=True, slots=True)
class Amount:
    """So many messages, so many bytes of packs."""

    messages: int = 0
    bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.messages + other.messages, self.bytes + other.bytes)

    def without(self, pack: Standing) -> Amount:
        """What is left when this pack goes."""
        return Amount(self.messages - pack.count, self.bytes - pack.size)


@dataclass(frozen=True, slots=True)
class Limit:
    """How much may wait; None: any number."""

    messages: int | None = None
    bytes: int | None = None

    def holds(self, amount: Amount) -> bool:
        """Whether so much may wait."""
        return not (
            (self.messages is not None and amount.messages > self.messages)
            or (self.bytes is not None and amount.bytes > self.bytes)
        )

    def percent(self, amount: Amount) -> float:
        """How full it is with so much."""
        by_count = amount.messages / self.messages if self.messages else 0.0
        by_size = amount.bytes / self.bytes if self.bytes else 0.0
        return 100 * max(by_count, by_size)

    def full(self, what: str) -> Unavailable:
        """The refusal of what does not fit."""
        return Unavailable(
            f"{what} is full: {self}",
            hint=_HINT,
        )

    def __str__(self) -> str:
        messages = "any number of" if self.messages is None else f"{self.messages:,}"
        size = "any number of" if self.bytes is None else f"{self.bytes:,}"
        return f"{messages} messages and {size} bytes may wait"


@dataclass(frozen=True, slots=True)
class Limits:
    """Those of the whole queue and of each priority, and what happens when one is reached."""

    whole: Limit = Limit()
    by_priority: Mapping[Priority, Limit] = field(default_factory=dict)
    when_full: WhenFull = WhenFull.REJECT

    def of(self, priority: Priority) -> Limit:
        """The limit of one priority."""
        return self.by_priority.get(priority, Limit())


@dataclass(frozen=True, slots=True)
class Lane(Generic[S]):
    """What waits of one stream, the oldest first."""

    priority: Priority
    packs: Sequence[S]


def queue_of(priority: Priority) -> str:
    """What people call the part of the queue with this priority."""
    return f"the queue of priority {priority.name.lower()}"


def make_room(
    limits: Limits,
    standing: Mapping[Priority, Amount],
    lanes: Sequence[Lane[S]],
    priority: Priority,
    arriving: Amount,
) -> list[S]:
    """The packs that have to go so that what arrives fits, in the order in which they were chosen.

    `standing` is how much waits of each priority. Raises Unavailable, with nothing to be dropped, where it does not fit
    whatever may go. First the limit of its own priority is kept, then that of the whole queue.
    """
    victims: list[S] = []
    chosen: set[int] = set()

    def choose(limit: Limit, amount: Amount, candidates: Iterable[S], what: str) -> None:
        for pack in candidates:
            if limit.holds(amount):
                break
            if pack.id not in chosen:
                amount = amount.without(pack)
                chosen.add(pack.id)
                victims.append(pack)
        if not limit.holds(amount):
            raise limit.full(what)

    may_drop = limits.when_full is not WhenFull.REJECT
    own = standing.get(priority, Amount()) + arriving
    own_packs = _by_age(lanes, {priority}) if may_drop else ()
    choose(limits.of(priority), own, own_packs, queue_of(priority))
    whole = sum(standing.values(), arriving)
    for pack in victims:
        whole = whole.without(pack)
    choose(limits.whole, whole, _candidates(limits.when_full, lanes, priority), "the queue")
    return victims


def _candidates(when_full: WhenFull, lanes: Sequence[Lane[S]], priority: Priority) -> Iterator[S]:
    """What may go for something of this priority, the first to go first."""
    if when_full is WhenFull.DROP_OLDEST:
        top = Priority.CRITICAL if priority is Priority.CRITICAL else Priority.HIGH
        yield from _by_age(lanes, {each for each in Priority if each <= top})
    elif when_full is WhenFull.DROP_LOWEST:
        for each in Priority:
            if each <= priority:
                yield from _by_age(lanes, {each})


def _by_age(lanes: Sequence[Lane[S]], priorities: set[Priority]) -> Iterator[S]:
    found = [
        (pack for pack in lane.packs if pack.gone is None) for lane in lanes if lane.priority in priorities
    ]
    return heapq.merge(*found, key=attrgetter("id"))


@dataclass(slots=True)
class Gauge:
    """Says once when a level is reached, and again only when it had clearly fallen below it."""

    level: int = 0

    def read(self, percent: float) -> bool:
        """Whether a higher level than before is reached now."""
        reached = max((level for level in LEVELS if percent >= level), default=0)
        if reached > self.level:
            self.level = reached
            return True
        while self.level and percent < self.level - HYSTERESIS:
            self.level = max((level for level in LEVELS if level < self.level), default=0)
        return False
