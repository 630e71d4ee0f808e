"""Going on above numbers that somebody else has used: a state put back from a copy, or one that was damaged.

`take_over` opens an epoch above them and writes down where the lanes stand elsewhere, so that the next pack names
that end as the one before it. `renumber` seals again, under the open epoch, what is still owed of streams whose
numbers must not be used. Both inside a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from kos_edge.errors import Invalid
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Message, Stream, peek, seal
from kos_edge.klp.tombstone import bury, is_tombstone, peek_tombstone
from kos_edge.store.database import Damaged
from kos_edge.store.outbox import Waiting
from kos_edge.store.store import Store
from kos_edge.store.streams import StreamRow


@dataclass(frozen=True, slots=True)
class Stand:
    """Up to where a stream of ours is held elsewhere, and the chain hash there; None: it is not to be named."""

    stream: Stream
    held: int
    hash: bytes | None


def take_over(store: Store, stands: Iterable[Stand], random: Callable[[int], bytes], *, above: int) -> int:
    """Open an epoch above `above` and every epoch in `stands`; the epoch comes back."""
    for stand in stands:
        above = max(above, stand.stream.epoch)
        forget_ends(store, stand.stream)
        row = store.streams.ensure(stand.stream)
        if row.held < stand.held:
            if row.settled == row.held:
                row.settled = stand.held
            row.held, row.hash = stand.held, stand.hash
        store.streams.touch(row)
    return store.outbox.open_epoch(random, above=above)


def forget_ends(store: Store, stream: Stream) -> None:
    """Nothing that this node knows of the lane may be named as what comes before: something was sealed after it."""
    for row in store.streams:
        if _lane(row.stream) == _lane(stream):
            row.hash = None
            store.streams.touch(row)


def renumber(store: Store, key: KeyPair, mesh: bytes, streams: Iterable[Stream]) -> int:
    """Number and seal anew what is owed of `streams`, in the open epoch; how many messages that were.

    Each keeps its place in the order of the journal, its age and its time. Raises Damaged, when the rest is done,
    where something cannot be read: that stays as it is.
    """
    count = damaged = 0
    for stream in streams:
        row = store.streams.find(stream)
        if row is None:
            continue
        row.hash = None  # nothing may name it as what comes before: nobody has it
        readable = True
        for waiting in store.outbox.release(row):
            try:
                count += _seal_again(store, row, waiting, key, mesh)
            except Invalid:
                readable = False
                damaged += 1
                store.outbox.count_in(row, waiting)
            if readable:
                row.settled = max(row.settled, waiting.last)
        store.streams.touch(row)
    if damaged:
        raise Damaged(f"{damaged} packs that should get other numbers are damaged")
    return count


def _seal_again(store: Store, old: StreamRow, waiting: Waiting, key: KeyPair, mesh: bytes) -> int:
    sealed = store.packs.sealed(waiting.id)
    if is_tombstone(sealed):
        _bury_again(store, old, waiting, sealed, key, mesh)
        return 0
    pack = peek(sealed)
    messages = [
        item for seq, item in pack.messages() if isinstance(item, Message) and seq > old.settled
    ]  # the others were dropped, or had expired
    if not messages:
        return 0
    stream = Stream(key.kid, old.stream.audience, old.stream.cls, store.outbox.epoch)
    row = store.streams.find(stream)
    first = 1 if row is None else row.held + 1
    raw = seal(
        stream,
        first,
        messages,
        prev=store.outbox.link(stream) if row is None else row.hash,
        mono_ms=pack.header.mono_ms,
        wall_ms=pack.header.wall_ms,
        uncertainty_ms=pack.header.uncertainty_ms,
        key=key,
        mesh=mesh,
    )
    row = store.streams.ensure(stream)
    last = first + len(messages) - 1
    store.packs.reseal(waiting.id, waiting.size, row.id, first, len(messages), raw)
    store.outbox.count_in(row, replace(waiting, first=first, last=last, size=len(raw)))
    row.held, row.hash = last, peek(raw).chain_hash
    row.uptime_ms = max(row.uptime_ms, old.uptime_ms)
    store.streams.touch(row)
    return len(messages)


def _bury_again(
    store: Store, old: StreamRow, waiting: Waiting, sealed: bytes, key: KeyPair, mesh: bytes
) -> None:
    """A tombstone gets numbers of its own too; what its run ended with names its end in the new stream as well."""
    tombstone = peek_tombstone(sealed)
    count = waiting.last - max(waiting.first - 1, old.settled)
    stream = Stream(key.kid, old.stream.audience, old.stream.cls, store.outbox.epoch)
    row = store.streams.find(stream)
    first = 1 if row is None else row.held + 1
    prev = store.outbox.link(stream) if row is None else row.hash
    chain_hash = tombstone.chain_hash
    raw = bury(stream, first, count, tombstone.reason, prev=prev, chain_hash=chain_hash, key=key, mesh=mesh)
    row = store.streams.ensure(stream)
    last = first + count - 1
    store.packs.reseal(waiting.id, waiting.size, row.id, first, count, raw)
    store.outbox.count_in(row, replace(waiting, first=first, last=last, size=len(raw)))
    row.held, row.hash = last, chain_hash
    row.uptime_ms = max(row.uptime_ms, old.uptime_ms)
    store.streams.touch(row)


def _lane(stream: Stream) -> tuple[bytes, str, int]:
    return stream.source, stream.audience, stream.cls.code
