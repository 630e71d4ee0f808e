"""What is owed, as values: the packs that wait in the outbox, and how much that is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from kos_edge.delivery.limits import Amount
from kos_edge.klp.pack import Message, Priority, Stream, peek, remove
from kos_edge.klp.pack import Reason as Removal
from kos_edge.store.packs import Entry


@dataclass(frozen=True, slots=True)
class Stamp:
    """The moment of a commit: accumulated uptime in ms, and where known the wall clock and steady time.

    Steady time is a wall clock that no step moves: `node/uptime`.
    """

    uptime_ms: int
    wall_ms: int | None
    uncertainty_ms: int | None
    steady_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """One commit's packs of one stream: the stream and the first number of what was appended."""

    stream: Stream
    first: int
    entries: tuple[Entry, ...] = ()
    dropped: int = 0
    """Numbers that had to go for it."""
    buried: frozenset[Stream] = frozenset()
    """The streams that these were of."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What had to go for something new: so many numbers, of these streams."""

    count: int = 0
    streams: frozenset[Stream] = frozenset()


NOTHING: Mapping[Priority, Amount] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Waiting:
    """One pack that is owed: its place, its size, its shortest ttl in s, and when it was sealed.

    `at_ms` is steady time (0: not known), `uptime_ms` by this process (None: sealed before it started).
    With a `gone` reason it is a tombstone.
    """

    id: int
    first: int
    last: int
    size: int
    at_ms: int
    ttl_s: int | None
    uptime_ms: int | None
    topics: tuple[
        tuple[str, int, int], ...
    ] = ()  # messages and bytes of the topics that have a limit of their own
    gone: Removal | None = None

    @property
    def count(self) -> int:
        """How many numbers it stands for."""
        return self.last - self.first + 1

    def age_ms(self, now: Stamp) -> int | None:
        """How long ago it was sealed: exact within one process, by steady time over a restart, else unknown."""
        if self.uptime_ms is not None:
            return max(0, now.uptime_ms - self.uptime_ms)
        if self.at_ms and now.steady_ms is not None:
            return max(0, now.steady_ms - self.at_ms)
        return None


@dataclass(frozen=True, slots=True)
class Owed:
    """What is owed of one stream: numbers `first` to `last`."""

    stream: Stream
    first: int
    last: int


@dataclass(slots=True)
class Usage:
    """How much waits in the outbox, or of one topic in it."""

    packs: int = 0
    messages: int = 0
    bytes: int = 0

    def add(self, packs: int, messages: int, size: int) -> None:
        """Count in, or with negative numbers out."""
        self.packs += packs
        self.messages += messages
        self.bytes += size


def runs(packs: Sequence[Waiting], victims: Iterable[Waiting]) -> list[tuple[int, int]]:
    """Where those of the `victims` that still wait stand side by side, start and end, the last first."""
    places = []
    for victim in victims:
        place = first_after(packs, victim.first - 1)
        if place < len(packs) and packs[place].id == victim.id and packs[place].gone is None:
            places.append(place)
    runs: list[tuple[int, int]] = []
    for place in sorted(places, reverse=True):
        if runs and runs[-1][0] == place + 1 and adjacent(packs, place + 1):
            runs[-1] = (place, runs[-1][1])
        else:
            runs.append((place, place + 1))
    return runs


def adjacent(packs: Sequence[Waiting], place: int) -> bool:
    """Whether the numbers at this place follow those before it: of a fresh-first stream some may be settled."""
    return packs[place - 1].last + 1 == packs[place].first


def first_after(packs: Sequence[Waiting], after: int) -> int:
    """The place of the first that ends beyond the number `after`."""
    return bisect_right(packs, after, key=lambda waiting: waiting.last)


def topics_in(raw: bytes, limited: Callable[[str], bool] | None) -> tuple[tuple[str, int, int], ...]:
    """Messages and bytes of each topic in a pack that is `limited` on its own."""
    if limited is None:
        return ()
    found: dict[str, tuple[int, int]] = {}
    pack = peek(raw)
    for (_, item), slot in zip(pack.messages(), pack.slots, strict=True):
        if isinstance(item, Message) and isinstance(slot, bytes) and limited(item.topic):
            messages, size = found.get(item.topic, (0, 0))
            found[item.topic] = (messages + 1, size + len(slot))
    return tuple((topic, messages, size) for topic, (messages, size) in found.items())


def without_expired(raw: bytes, age_ms: int) -> bytes:
    """The pack of this age without the messages whose ttl has run out."""
    expired = {
        seq: Removal.EXPIRED
        for seq, item in peek(raw).messages()
        if isinstance(item, Message)
        and item.ttl_s is not None
        and age_ms - item.offset_ms >= item.ttl_s * 1000
    }
    return remove(raw, expired) if expired else raw


def uptime_since(raw: bytes, now: Stamp) -> int:
    """The uptime since a pack was sealed: it is at least so old, however long the power was off."""
    return max(0, now.uptime_ms - peek(raw).header.mono_ms)
