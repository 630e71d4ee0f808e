"""What is owed, as values: the packs that wait in the outbox, and how much that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


Topics = tuple[tuple[str, int, int], ...]
"""Messages and bytes of the topics in a pack that have a limit of their own."""


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
    topics: Topics = ()
    gone: Removal | None = None

    @property
    def count(self) -> int:
        """How many numbers it stands for."""
        return self.last - self.first + 1

    def age_ms(self, now: Stamp) -> int | None:
        """How long ago it was sealed, where anybody knows."""
        return age_of(now, self.at_ms, self.uptime_ms)


@dataclass(frozen=True, slots=True)
class Owed:
    """What is owed of one stream: numbers `first` to `last`."""

    stream: Stream
    first: int
    last: int


@dataclass(slots=True)
class Standing:
    """What is owed to one audience in one class, the tombstones in it apart."""

    messages: int = 0
    bytes: int = 0
    """Of packs and tombstones."""
    dropped: int = 0
    expired: int = 0
    oldest_at: int | None = None
    """The earliest steady time, in ms, at which something of it was sealed; None where nobody knows."""
    oldest: int | None = None
    """The lowest id of a pack."""


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


def age_of(now: Stamp, at_ms: int, uptime_ms: int | None) -> int | None:
    """How long ago something was sealed: exact within one process, by steady time over a restart, else unknown."""
    if uptime_ms is not None:
        return max(0, now.uptime_ms - uptime_ms)
    if at_ms and now.steady_ms is not None:
        return max(0, now.steady_ms - at_ms)
    return None


def topics_in(raw: bytes, limited: Callable[[str], bool] | None) -> Topics:
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
