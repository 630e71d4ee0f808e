"""The outbox: what this node still owes others, numbered, sealed and committed in one transaction.

Own packs stay in the journal until its retention lets them go; the outbox is those of them that no final receipt has
settled yet. What is dropped or expires leaves a tombstone in its place, in the same transaction.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from kos_edge.delivery.forecast import Flow
from kos_edge.delivery.limits import Amount, Lane, Limits, WhenFull, make_room
from kos_edge.delivery.load import LaneKey, Load, lane_of
from kos_edge.delivery.receipts import Settled
from kos_edge.delivery.spans import Run
from kos_edge.errors import Misuse
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import (
    MAX_COUNT,
    Boundary,
    Class,
    Link,
    Message,
    Prepared,
    Priority,
    Stream,
    packed,
)
from kos_edge.klp.pack import Reason as Removal
from kos_edge.klp.pack import sealed as as_sealed
from kos_edge.klp.tombstone import peek_tombstone
from kos_edge.store import sql
from kos_edge.store.database import Database
from kos_edge.store.graves import Grave, dig, lasts_ms
from kos_edge.store.owed import (
    NOTHING,
    Appended,
    Dropped,
    Owed,
    Stamp,
    Standing,
    Usage,
    Waiting,
    topics_in,
    uptime_since,
    without_expired,
)
from kos_edge.store.packs import Entry, Packs
from kos_edge.store.queued import Queued
from kos_edge.store.streams import StreamRow, Streams

__all__ = ["Appended", "Outbox", "Owed", "Stamp", "Usage", "Waiting"]

_EPOCH_KEY = "epoch"
_RANDOM_BITS = 32
SETTLED_RUNS = (
    256  # of one fresh-first stream; each receiver names 64 at most, so it takes five to reach that
)
GONE = 256  # packs remembered after a receipt has let them go


class Outbox:
    """This node's own streams. `local` says of an audience whether this node is the whole of it itself."""

    def __init__(self, database: Database, streams: Streams, packs: Packs) -> None:
        self._database = database
        self._streams = streams
        self._packs = packs
        self.epoch = 0
        self._opened: list[int] = []  # by this process
        self.usage = Usage()
        self.tombstones = Usage()
        self.by_priority: dict[Priority, Amount] = {}
        self.limits = Limits()
        self.flows: dict[LaneKey, Flow] = {}
        """What this process has appended and settled, by lane. A commit that failed is in it: rates hardly feel it."""
        self.by_topic: dict[str, Usage] = {}
        self.limited: Callable[[str], bool] | None = None
        self._index: dict[int, Queued] = {}  # by stream id
        self._gone: deque[tuple[int, Waiting]] = deque(maxlen=GONE)
        self._lasting: dict[
            int, float
        ] = {}  # by pack id: at which age in ms the last of its messages expires

    # -- opening

    def open_epoch(self, random: Callable[[int], bytes], *, above: int = 0) -> int:
        """Open the epoch of this process: a rising counter with 32 random bits; inside a transaction."""
        before = self._database.get(_EPOCH_KEY)
        last = max(int.from_bytes(before, "big") if before else 0, above)
        self.epoch = ((last >> _RANDOM_BITS) + 1) << _RANDOM_BITS | int.from_bytes(random(4), "big")
        self._database.put(_EPOCH_KEY, self.epoch.to_bytes(8, "big"))
        self._opened.append(self.epoch)
        return self.epoch

    def uptime_ms(self, sources: Collection[bytes]) -> int:
        """The accumulated uptime that this node had at its last commit, under any key that it had."""
        return max((row.uptime_ms for row in self._streams if row.stream.source in sources), default=0)

    def load(self, sources: Collection[bytes]) -> None:
        """Count what is owed of the streams of `sources`: one pass over the packs, without their bytes."""
        self.usage = Usage()
        self.tombstones = Usage()
        self.by_priority = {}
        self.by_topic = {}
        self._index = {}
        self._gone.clear()
        self._lasting.clear()
        stored = self._database.get(_EPOCH_KEY)
        last = int.from_bytes(stored, "big") if stored else 0
        self._opened = [epoch for epoch in self._opened if epoch <= last]
        if self.epoch > last:  # its commit failed: it was never opened
            self.epoch = self._opened[-1] if self._opened else 0
        own = {
            row.id: row for row in self._streams if row.stream.source in sources and row.settled < row.held
        }
        if not own:
            return
        for ident, stream, first, count, size, at, ttl, gone in self._database.execute(sql.PACK_SIZES):
            row = own.get(stream)
            last = first + count - 1
            if row is not None and last > row.settled and not row.spans.covers(first, last):
                reason = peek_tombstone(self._packs.sealed(ident)).reason if gone else None
                counted = self.limited is not None and not gone
                topics = topics_in(self._packs.sealed(ident), self.limited) if counted else ()
                self.count_in(row, Waiting(ident, first, last, size, at, ttl, None, topics, reason))
        for ident, packs in self._index.items():  # what was numbered anew has kept its place in the journal
            self._index[ident] = packs.in_order()

    def count_in(self, row: StreamRow, waiting: Waiting) -> None:
        """What comes next of a stream is owed."""
        self._index.setdefault(row.id, Queued()).append(waiting)
        self._count_in(row, waiting)

    def _queued(self, row: StreamRow | None) -> Queued:
        """What is owed of a stream; of nothing, nothing."""
        packs = None if row is None else self._index.get(row.id)
        return Queued() if packs is None else packs

    def _count_in(self, row: StreamRow, waiting: Waiting) -> None:
        usage = self.usage if waiting.gone is None else self.tombstones
        usage.add(1, waiting.count, waiting.size)
        if waiting.gone is None:
            priority = row.stream.cls.priority
            amount = Amount(waiting.count, waiting.size)
            self.by_priority[priority] = self.by_priority.get(priority, Amount()) + amount
        for topic, messages, size in waiting.topics:
            self.by_topic.setdefault(topic, Usage()).add(1, messages, size)

    def _flow(self, row: StreamRow) -> Flow:
        return self.flows.setdefault(lane_of(row.stream), Flow())

    def _count_out(self, row: StreamRow, waiting: Waiting) -> None:
        usage = self.usage if waiting.gone is None else self.tombstones
        usage.add(-1, -waiting.count, -waiting.size)
        if waiting.gone is None:
            priority = row.stream.cls.priority
            self.by_priority[priority] = self.by_priority[priority].without(waiting)
        self._lasting.pop(waiting.id, None)
        for topic, messages, size in waiting.topics:
            self.by_topic[topic].add(-1, -messages, -size)

    # -- appending

    def append(
        self,
        key: KeyPair,
        mesh: bytes,
        lane: tuple[str, Class],
        messages: Sequence[Message | Prepared],
        stamp: Stamp,
        *,
        settle: bool,
        most: int = MAX_COUNT,
        earlier: bool = False,
        drop: bool = True,
    ) -> Appended:
        """Number, seal and insert `messages` of one lane, at most `most` in a pack; inside a transaction.

        Where they do not fit beside what waits, `limits` say what is dropped for them, in the same transaction, or
        that they are refused, all of them (Unavailable, and nothing has changed).
        `settle` is True where this node is the whole audience: nothing is owed then. `earlier`: `stamp` is of a
        process before this one. Without `drop` nothing goes for them, whatever the limits say.
        """
        if not self.epoch:
            raise Misuse("no epoch is open")
        self._database.check_room()
        audience, cls = lane
        stream = Stream(key.kid, audience, cls, self.epoch)
        row = self._streams.find(stream)
        first = 1 if row is None else row.held + 1
        prev: Link = self.link(stream) if row is None else row.hash
        sealed = []
        number = first
        for packer, ttl in packed(stream, first, messages, most):
            packer.seal(
                prev=prev if cls.durable else None,
                mono_ms=stamp.uptime_ms,
                wall_ms=stamp.wall_ms,
                uncertainty_ms=stamp.uncertainty_ms,
                key=key,
                mesh=mesh,
            )
            prev = packer.chain_hash
            sealed.append((number, ttl, as_sealed(packer)))
            number += packer.count
        dropped = Dropped()
        if not settle:
            arriving = Amount(number - first, sum(len(pack.raw) for *_, pack in sealed))
            dropped = self.make_room(key, mesh, cls.priority, arriving, drop=drop)
        row = self._streams.ensure(stream)
        at = stamp.steady_ms or 0
        entries = []
        for start, ttl, pack in sealed:
            count, raw = pack.count, pack.raw
            ident = self._packs.add(row.id, start, count, raw, at=at, age=None, ttl=ttl)
            entries.append(Entry(ident, pack, pack.first, pack.last, at, None))
            if not settle:
                topics = topics_in(raw, self.limited)
                last = start + count - 1
                uptime_ms = None if earlier else stamp.uptime_ms
                self.count_in(row, Waiting(ident, start, last, len(raw), at, ttl, uptime_ms, topics))
        if not settle:
            flow = self._flow(row)
            flow.messages_in += number - first
            flow.bytes_in += sum(len(pack.raw) for *_, pack in sealed)
        row.held, row.hash = number - 1, prev if isinstance(prev, bytes) else None
        row.uptime_ms = max(row.uptime_ms, stamp.uptime_ms)
        if settle:
            row.settled = row.held
        self._streams.touch(row)
        return Appended(stream, first, tuple(entries), dropped.count, dropped.streams)

    def make_room(
        self,
        key: KeyPair,
        mesh: bytes,
        priority: Priority,
        arriving: Amount,
        beside: Mapping[Priority, Amount] = NOTHING,
        *,
        drop: bool = True,
    ) -> Dropped:
        """Drop what of this key has to go so that this fits, with `beside` what waits elsewhere. Raises Unavailable."""
        streams = {ident: self._streams.by_id(ident).stream for ident in self._index}
        own = [(ident, s) for ident, s in streams.items() if s.source == key.kid]
        lanes = [Lane(s.cls.priority, self._index[ident]) for ident, s in own]
        standing = {
            each: self.by_priority.get(each, Amount()) + beside.get(each, Amount()) for each in Priority
        }
        victims: dict[Stream, list[Waiting]] = {}
        limits = self.limits if drop else replace(self.limits, when_full=WhenFull.REJECT)
        for victim in make_room(limits, standing, lanes, priority, arriving):
            for ident, packs in self._index.items():
                if packs.find(victim) is not None:
                    victims.setdefault(streams[ident], []).append(victim)
        count = sum(self.bury(each, packs, Removal.DROPPED, key, mesh) for each, packs in victims.items())
        return Dropped(count, frozenset(victims))

    def link(self, stream: Stream) -> Boundary | None:
        """What the first pack of `stream` names as before it: the end of the newest epoch of the lane."""
        before = [
            row
            for row in self._streams
            if row.stream.source == stream.source
            and row.stream.audience == stream.audience
            and row.stream.cls == stream.cls
            and row.held
            and row.hash is not None
        ]
        if not before:
            return None
        last = max(before, key=lambda row: row.stream.epoch)
        assert last.hash is not None
        return Boundary(last.stream.epoch, last.held, last.hash)

    def release(self, row: StreamRow) -> list[Waiting]:
        """What is owed of a stream is owed under its numbers no more; the caller numbers it anew."""
        packs = list(self._index.pop(row.id, ()))
        for waiting in packs:
            self._count_out(row, waiting)
        return packs

    # -- dropping and expiring

    def bury(
        self, stream: Stream, victims: Iterable[Waiting], reason: Removal, key: KeyPair, mesh: bytes
    ) -> int:
        """Put tombstones in the place of these packs; inside a transaction. How many numbers are gone now.

        One for each run of numbers; it merges with those beside it that have the same reason, signed anew. What an
        earlier key has signed is left as it is: only that could bury it. Raises Damaged at a run that cannot be read.
        """
        row = self._streams.find(stream)
        if row is None or stream.source != key.kid:
            return 0
        packs = self._queued(row)
        buried = 0
        for start, end in packs.runs(victims):  # from the end, so that the places before stay what they are
            if end < len(packs) and packs[end].gone is reason and packs.adjacent(end):
                end += 1
            if start and packs[start - 1].gone is reason and packs.adjacent(start):
                start -= 1
            grave = dig(row, packs, start, end, reason, self._packs.sealed, key, mesh)
            buried += sum(each.count for each in packs[start:end] if each.gone is None)
            self._lay(row, packs, start, end, reason, grave)
        return buried

    def _lay(
        self, row: StreamRow, packs: Queued, start: int, end: int, reason: Removal, grave: Grave
    ) -> None:
        """The tombstone takes the row of the last of the packs that it replaces: order and cursors hold."""
        for waiting in packs[start:end]:
            self._count_out(row, waiting)
        for waiting in packs[start : end - 1]:
            self._packs.delete(waiting.id, waiting.size)
        last = packs[end - 1]
        self._packs.replace(last.id, grave.first, grave.count, grave.raw, last.size)
        tombstone = replace(last, first=grave.first, size=len(grave.raw), ttl_s=None, topics=(), gone=reason)
        packs.replace(start, end, tombstone)
        self._count_in(row, tombstone)

    def expired(self, now: Stamp) -> dict[Stream, list[Waiting]]:
        """The packs of which every message has outlived its ttl, as far as their age is known."""
        found: dict[Stream, list[Waiting]] = {}
        for ident, packs in self._index.items():
            for waiting in packs.outlived(now):
                if waiting.id not in self._lasting:
                    self._lasting[waiting.id] = lasts_ms(self._packs.sealed(waiting.id))
                if (waiting.age_ms(now) or 0) >= self._lasting[waiting.id]:
                    found.setdefault(self._streams.by_id(ident).stream, []).append(waiting)
        return found

    # -- handing over and letting go

    def owed(self) -> list[Owed]:
        """The streams with something unsettled, oldest epoch first, higher priority first."""
        rows = [self._streams.by_id(ident) for ident, packs in self._index.items() if packs]
        rows.sort(key=lambda row: (-row.stream.cls.priority, row.stream.epoch, row.stream.audience))
        return [Owed(row.stream, row.settled + 1, row.held) for row in rows]

    def waiting(self, stream: Stream) -> Sequence[Waiting]:
        """What is owed of `stream`, in order."""
        row = self._streams.find(stream)
        return tuple(self._queued(row))

    def lanes(self) -> dict[tuple[str, Class], Standing]:
        """How much is owed, by audience and class."""
        lanes: dict[tuple[str, Class], Standing] = {}
        for ident, packs in self._index.items():
            stream = self._streams.by_id(ident).stream
            packs.count_into(lanes.setdefault((stream.audience, stream.cls), Standing()))
        return lanes

    def take(self, stream: Stream, after: int, limit_bytes: int, now: Stamp, loaded_at: float) -> list[Load]:
        """Packs of `stream` that end after number `after`, in order, about `limit_bytes` of them, at least one.

        Messages whose ttl has run out are taken out of their pack, which still verifies.
        """
        row = self._streams.find(stream)
        if row is None:
            return []
        loads: list[Load] = []
        size = 0
        packs = self._queued(row)
        for place in range(packs.after(after), len(packs)):
            waiting = packs[place]
            if loads and size + waiting.size > limit_bytes:
                break
            loads.append(self._load(stream, waiting, now, loaded_at))
            size += waiting.size
        return loads

    def _load(self, stream: Stream, waiting: Waiting, now: Stamp, loaded_at: float) -> Load:
        age_ms = waiting.age_ms(now)
        raw = self._packs.sealed(waiting.id)
        if waiting.ttl_s is not None:
            at_least_ms = uptime_since(raw, now) if age_ms is None else age_ms
            if at_least_ms >= waiting.ttl_s * 1000:
                raw = without_expired(raw, at_least_ms)
        return Load(stream, waiting.first, waiting.last, raw, age_ms, loaded_at)

    def take_newest(
        self,
        stream: Stream,
        above: int,
        below: int,
        limit_bytes: int,
        now: Stamp,
        loaded_at: float,
        known: Callable[[Stream, int], bool],
    ) -> tuple[list[Load], int]:
        """Packs of a fresh-first stream between two numbers, the newest first, about `limit_bytes` of them.

        And below which number to go on. Those that are `known` by their last number are on their way already.
        """
        row = self._streams.find(stream)
        packs = self._queued(row)
        loads: list[Load] = []
        size = 0
        place = packs.after(below - 1)
        while place and packs[place - 1].last > above and size < limit_bytes:
            place -= 1
            waiting = packs[place]
            below = waiting.first
            if known(stream, waiting.last):
                continue
            loads.append(self._load(stream, waiting, now, loaded_at))
            size += waiting.size
        return loads, below if size >= limit_bytes else above + 1

    def owes(self, stream: Stream, seq: int) -> bool:
        """Whether this number has not been settled yet."""
        row = self._streams.find(stream)
        packs = self._queued(row)
        place = packs.after(seq - 1)
        return place < len(packs) and packs[place].first <= seq

    def pack_of(self, stream: Stream, seq: int) -> bytes | None:
        """The sealed pack with this number, if it is still owed or was until lately: a refusal may come late."""
        row = self._streams.find(stream)
        if row is None:
            return None
        packs = self._queued(row)
        place = packs.after(seq - 1)
        if place < len(packs) and packs[place].first <= seq:
            return None if packs[place].gone else self._packs.sealed(packs[place].id)
        for ident, waiting in reversed(self._gone):
            if ident == row.id and waiting.first <= seq <= waiting.last and self._packs.has(waiting.id):
                return self._packs.sealed(waiting.id)
        return None

    def settle(self, settled: Settled) -> list[Waiting]:
        """A final receipt came: let go of what it covers. Written with the next commit; never urgent."""
        row = self._streams.find(settled.stream)
        if row is None or not settled.final:
            return []
        if row.stream.cls.fresh:
            return self._settle_runs(row, settled)
        if settled.held <= row.settled:
            return []
        row.settled = min(settled.held, row.held)
        return self._let_go(row, 0, row.settled)

    def _settle_runs(self, row: StreamRow, settled: Settled) -> list[Waiting]:
        """Of a fresh-first stream what lies above a gap is let go of as well."""
        if row.settled > row.spans.held:
            row.spans.add(Run(1, row.settled))
        done: list[Waiting] = []
        for first, last in ((1, settled.held), *settled.ranges):
            last = min(last, row.held)
            if first > last or row.spans.covers(first, last):
                continue
            if len(row.spans.runs) >= SETTLED_RUNS and row.spans.apart(first, last):
                continue  # it stays owed until its gap is filled: receipts are cumulative, and say it again
            whole = row.spans.add(Run(first, last))  # a tombstone that grew on its way is settled in parts
            row.settled = row.spans.held
            done += self._let_go(row, whole.first - 1, whole.last)
        return done

    def _let_go(self, row: StreamRow, after: int, last: int) -> list[Waiting]:
        """What is owed of a stream and ends beyond `after`, up to `last`, is owed no more."""
        packs = self._queued(row)
        start, end = packs.after(after), packs.after(last)
        if start < end and packs[start].first <= after:
            start += 1  # begins before the run, so it is not all there
        done = packs.take_out(start, end)
        for waiting in done:
            self._count_out(row, waiting)
            if waiting.gone is None:
                self._gone.append((row.id, waiting))
        if done:
            flow = self._flow(row)
            flow.messages_out += sum(waiting.count for waiting in done)
            flow.bytes_out += sum(waiting.size for waiting in done)
        if not packs:
            self._index.pop(row.id, None)
        self._streams.touch(row)
        return done
