"""Who goes next on a link that is full: deficit round robin over bytes, critical first.

A machine. Every lane (audience and class) has a queue of its own; this says from which the next pack comes. Priorities
below critical share the link by weight, and lanes of one priority share alike; what one does not use goes to the
others. Critical goes before all of them, so that an alarm overtakes any backlog. A flood of alarms leaves them a
tenth, for a link that carries nothing else for hours would hide what the alarms are about.

Deficit round robin: M. Shreedhar, G. Varghese, "Efficient Fair Queueing Using Deficit Round Robin", 1996.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kos_edge.delivery.load import LaneKey
from kos_edge.klp.pack import Priority

QUANTUM = 1_000  # bytes that a weight of one earns in a round: a datagram
CRITICAL_LEAVES = 9  # bytes of critical for one byte of the others: they keep a tenth

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Weights:
    """How priorities share a full link, critical apart."""

    low: int = 1
    normal: int = 2
    high: int = 4

    def of(self, priority: Priority) -> int:
        """The weight of one priority."""
        return {Priority.LOW: self.low, Priority.NORMAL: self.normal}.get(priority, self.high)


@dataclass(slots=True)
class Rounds(Generic[Key]):
    """Deficit round robin over keys. The first of `_deficits` has its turn."""

    _deficits: OrderedDict[Key, int] = field(default_factory=OrderedDict)

    def choose(self, heads: Mapping[Key, int], weights: Mapping[Key, int]) -> Key:
        """Which goes next, given the size of what each would send. The same again until `charge`."""
        if len(heads) == 1:
            self.forget()
            return next(iter(heads))
        for key in [key for key in self._deficits if key not in heads]:
            del self._deficits[key]  # it had nothing to send, and saves nothing up
        for key in heads:
            self._deficits.setdefault(key, 0)
        while True:
            turn = next(iter(self._deficits))
            if self._deficits[turn] >= heads[turn]:
                return turn
            self._deficits.move_to_end(turn)
            following = next(iter(self._deficits))
            self._deficits[following] += QUANTUM * weights[following]

    def charge(self, key: Key, size: int) -> None:
        """`size` bytes of `key` were sent."""
        if key in self._deficits:
            self._deficits[key] -= size

    def forget(self) -> None:
        """One alone has something to send: what it sends is not held against it later."""
        self._deficits.clear()


@dataclass(slots=True)
class Fair:
    """Chooses among lanes. `choose` says which, `sent` that it was."""

    weights: Weights = field(default_factory=Weights)
    _priorities: Rounds[Priority] = field(default_factory=Rounds)
    _lanes: dict[Priority, Rounds[LaneKey]] = field(default_factory=dict)
    _owed: float = 0.0  # bytes that critical owes the others
    _contested: bool = False  # whether critical and others both waited at the last choice

    def choose(self, heads: Mapping[LaneKey, int]) -> LaneKey:
        """Which lane sends next, given the size of the next pack of each that has one."""
        if len(heads) == 1:
            self._contested, self._owed = False, 0.0
            self._priorities.forget()
            self._lanes.clear()
            return next(iter(heads))
        groups: dict[Priority, dict[LaneKey, int]] = {}
        for key, size in heads.items():
            groups.setdefault(key[1].priority, {})[key] = size
        chosen = {
            priority: self._lanes.setdefault(priority, Rounds()).choose(group, dict.fromkeys(group, 1))
            for priority, group in groups.items()
        }
        critical = chosen.pop(Priority.CRITICAL, None)
        self._contested = critical is not None and bool(chosen)
        if not self._contested:
            self._owed = 0.0
        if not chosen:
            assert critical is not None
            return critical
        sizes = {priority: heads[key] for priority, key in chosen.items()}
        weights = {priority: self.weights.of(priority) for priority in chosen}
        other = chosen[self._priorities.choose(sizes, weights)]
        return other if critical is None or self._owed >= heads[other] else critical

    def sent(self, key: LaneKey, size: int) -> None:
        """The lane that was chosen sent `size` bytes."""
        priority = key[1].priority
        if priority in self._lanes:
            self._lanes[priority].charge(key, size)
        if priority is not Priority.CRITICAL:
            self._priorities.charge(priority, size)
        if self._contested:
            self._owed += size / CRITICAL_LEAVES if priority is Priority.CRITICAL else -size
