"""Gathering: what is published within a topic's linger goes to disk and on the wire together.

A machine without I/O. `add` puts one encoded message into its stream's batch, `due` says when the oldest has waited
long enough, `take` hands over what is ready. While a commit is under way more gathers by itself, so a fast publisher
gets large commits and a slow one gets its linger.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")

_NOTHING: Mapping[Hashable, int] = MappingProxyType({})


@dataclass(slots=True)
class _Batch(Generic[Item]):
    due: float
    size: int = 0
    items: list[Item] = field(default_factory=list)
    shared: set[Hashable] = field(default_factory=set)


class Linger(Generic[Key, Item]):
    """Batches by stream key. `full` is the size in bytes that a batch is ready at rather than go beyond (one pack)."""

    def __init__(self, full: int) -> None:
        self._full = full
        self._batches: dict[Key, _Batch[Item]] = {}

    def add(
        self,
        key: Key,
        item: Item,
        size: int,
        linger: float,
        now: float,
        shared: Mapping[Hashable, int] = _NOTHING,
    ) -> None:
        """Put `item` of `size` bytes into the batch of `key`; it may wait `linger` seconds at most.

        `shared` are the bytes of what a pack has once, however many of its items need it, such as a topic.
        """
        batch = self._batches.get(key)
        if batch is None:
            batch = self._batches[key] = _Batch(now + linger)
        batch.due = min(batch.due, now + linger)
        batch.items.append(item)
        batch.size += size
        for what, more in shared.items():
            if what not in batch.shared:
                batch.shared.add(what)
                batch.size += more
        if batch.size + size > self._full:  # one more of these would begin another pack, for itself alone
            batch.due = now

    def due(self) -> float | None:
        """When the next batch is ready, on the clock of `now`; None when nothing waits."""
        return min((batch.due for batch in self._batches.values()), default=None)

    def take(self, now: float) -> dict[Key, list[Item]]:
        """Everything that waits, when something is due: one sync costs the same for all. Else nothing."""
        due = self.due()
        if due is None or due > now:
            return {}
        return self.flush()

    def flush(self) -> dict[Key, list[Item]]:
        """Everything that waits, due or not."""
        taken = {key: batch.items for key, batch in self._batches.items()}
        self._batches.clear()
        return taken
