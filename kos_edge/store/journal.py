"""The journal: what this node has received or kept, in the order in which it is delivered.

Received packs enter it verified, once, in the order of their stream; what comes early waits in `ahead`. The
positions that make the duplicate filter are committed with the packs. Retention takes delivered packs only, oldest
first, and leaves each stream's boundary (number and chain hash).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from kos_edge.delivery.position import OPEN_EPOCHS, Lane, Position, Verdict
from kos_edge.delivery.wire import MAX_ENDS, MAX_REFUSALS, End, Offer, Reach, Reason, Receipt, Refusal
from kos_edge.errors import Invalid
from kos_edge.klp.pack import Class, Pack, Stream, peek
from kos_edge.klp.pack import Reason as Removal
from kos_edge.klp.sealed import Sealed, peek_sealed
from kos_edge.klp.stream import MAX_SEQ
from kos_edge.klp.tombstone import Tombstone
from kos_edge.store import sql
from kos_edge.store.ahead import ROW_BYTES, Ahead
from kos_edge.store.contradictions import Contradictions
from kos_edge.store.database import Database
from kos_edge.store.fresh import FreshShelf
from kos_edge.store.intake import Incoming, Intake, malformed_of
from kos_edge.store.packs import Entry, Packs
from kos_edge.store.streams import CLOSED, OVER, StreamRow, Streams

__all__ = ["Incoming", "Intake", "Journal", "malformed_of"]

LaneKey = tuple[bytes, str, int]

REPEATED = 32  # refusals of a stream that are said again in its next receipts, for one answer may be lost
SUSPECT = (Verdict.NEXT, Verdict.AHEAD, Verdict.FORK)
REPEATING = 256  # streams of which they are remembered
MAX_STREAMS = 2_048  # of one source, 1.5 MB: a member gone bad opens no more; others, and what it has, go on
MAX_AHEAD_BYTES = 8 << 20  # packs of one source that wait ahead of gaps; a whole window over TCP is 0.5 MB


class Journal:
    """Packs by arrival, and the positions of every source's streams."""

    def __init__(self, database: Database, streams: Streams, packs: Packs) -> None:
        self._database = database
        self._streams = streams
        self._packs = packs
        self._lanes: dict[LaneKey, Lane] = {}
        self._refused: OrderedDict[Stream, dict[int, int]] = OrderedDict()
        self._contradictions = Contradictions(database, streams, packs)
        self._ahead = Ahead(database, streams)
        self.no_room = 0
        """Offers and packs that were not taken because their source has too much here already."""
        self.fresh = FreshShelf(streams, packs, MAX_STREAMS)
        self.load()

    def load(self) -> None:
        """Read the positions again from the file."""
        self._lanes.clear()
        self._refused.clear()
        self._contradictions.clear()
        self.fresh.clear()
        for row in self._streams:
            self._place(row)
        for row, first, last, gone in self._ahead.load():
            self._lane(row.stream).keep_ahead(row.stream.epoch, first, last, gone=gone)

    def _place(self, row: StreamRow) -> None:
        if row.stream.cls.fresh:
            self.fresh.place(row)
            return
        lane = self._lane(row.stream)
        if row.closed == OVER:
            lane.floor = max(lane.floor, row.stream.epoch)
            return
        lane.epochs[row.stream.epoch] = Position(row.held, row.hash)
        if row.closed:
            lane.closed.add(row.stream.epoch)

    def _lane(self, stream: Stream) -> Lane:
        return self._lane_of(_lane_key(stream))

    def _lane_of(self, key: LaneKey) -> Lane:
        return self._lanes.setdefault(key, _new_lane(key))

    # -- taking in

    def declare(
        self, source: bytes, offers: Iterable[Offer], at_ms: int, former: Collection[bytes] = ()
    ) -> list[Receipt]:
        """A source says what it still has, also of the keys that it had; the answer says what is held of it.

        Inside a transaction.
        """
        offers = [offer for offer in offers if offer.stream.source == source or offer.stream.source in former]
        lanes: dict[LaneKey, dict[int, int]] = {}
        for offer in offers:
            lanes.setdefault(_lane_key(offer.stream), {})[offer.stream.epoch] = offer.first
        for key, offered in lanes.items():
            if Class.from_code(key[2]).fresh:
                self.fresh.declare(key, offered)
                continue
            firsts = self._that_fit(key, offered)
            lane = self._lane_of(key) if firsts else self._lanes.get(key)
            if lane is None:
                continue
            lane.declare(firsts)
            lane.close(offered)  # also by what does not fit: else nothing would ever make room
            self._write_down(lane, key, [*firsts, *lane.closed])
            self._let_go_ahead(lane, key)
            self._advance(lane, key, at_ms, Intake())
            self._write_down(lane, key, firsts)
        return [self.receipt(offer.stream) for offer in offers]

    def _write_down(self, lane: Lane, key: LaneKey, epochs: Iterable[int]) -> None:
        """Where these epochs stand, after what was declared."""
        for epoch in epochs:
            row = self._streams.ensure(_stream_of(key, epoch))
            position = lane.position(epoch)
            if row.held != position.held or row.closed != (epoch in lane.closed):
                if row.floor == row.held:  # nothing of it is in the journal, nor of what was passed over
                    row.floor, row.floor_hash = position.held, None
                row.held, row.hash, row.closed = position.held, position.hash, int(epoch in lane.closed)
                self._streams.touch(row)

    def _let_go_ahead(self, lane: Lane, key: LaneKey) -> None:
        """What waits ahead in epochs of which nothing comes any more was settled elsewhere, or has other numbers."""
        for epoch in lane.closed:
            for first in list(lane.position(epoch).ahead):
                row = self._streams.ensure(_stream_of(key, epoch))
                self._ahead.delete(row, first)
                lane.let_go(epoch, first)

    def take_in(self, batch: Iterable[Incoming], at_ms: int) -> Intake:
        """Judge and keep verified packs and tombstones; inside a transaction."""
        self._database.check_room()
        intake = Intake()
        touched: dict[Stream, list[Refusal]] = {}
        for incoming in batch:
            pack = incoming.pack
            if any(pack.stream.source == forked.stream.source for forked, _ in intake.forks):
                continue
            refusals = touched.setdefault(pack.stream, [])
            if pack.stream.cls.fresh:
                refusals += self._take_fresh(incoming, at_ms, intake)
                continue
            key = _lane_key(pack.stream)
            lane = self._lanes.get(key) or _new_lane(key)  # kept only when something of it is
            if isinstance(pack, Tombstone):
                refusals += self._take_tombstone(lane, pack, incoming.age_ms, at_ms, intake)
                continue
            verdict = lane.judge(pack.header, pack.count, pack.chain_hash)
            other = self._contradictions.of(lane, pack) if verdict in SUSPECT else None
            if other is not None:
                intake.forks.append((pack, other))
                intake.verdicts[Verdict.FORK] = intake.verdicts.get(Verdict.FORK, 0) + 1
                continue  # its numbers are not refused for good: the key goes into quarantine, and one of two is right
            ahead = len(pack.raw) + ROW_BYTES if verdict is Verdict.AHEAD else 0
            if verdict in (Verdict.NEXT, Verdict.AHEAD) and not self._fits(pack.stream, ahead):
                verdict = Verdict.NOT_NOW
                self.no_room += 1
            elif verdict in (Verdict.NEXT, Verdict.AHEAD):
                self._lanes[key] = lane
            intake.verdicts[verdict] = intake.verdicts.get(verdict, 0) + 1
            if verdict in (Verdict.NEXT, Verdict.AHEAD):  # what is held already was judged when it came
                refusals += self._refuse(pack.stream, incoming.refused)
            if incoming.refused:
                pack = peek(pack.remove(dict.fromkeys(incoming.refused, Removal.REFUSED)))
            if verdict is Verdict.NEXT:
                self._insert(pack, incoming.age_ms, at_ms, intake)
                self._contradictions.remember(pack)
                self._close(lane, pack)
                self._advance(lane, key, at_ms, intake)
            elif verdict is Verdict.AHEAD:
                row = self._streams.ensure(pack.stream)
                self._ahead.add(row, pack.first, pack.count, incoming.age_ms, pack.raw)
                lane.keep_ahead(pack.stream.epoch, pack.first, pack.last)
                self._contradictions.remember(pack)
            elif verdict in (
                Verdict.FORK,
                Verdict.OVER,
            ):  # said, so that its source does not take it for kept
                refusals += [Refusal(seq, int(Reason.FORKED)) for seq in range(pack.first, pack.last + 1)]
        for stream in [stream for stream in touched if not stream.cls.fresh]:
            for later in self._later_epochs(stream):
                touched.setdefault(later, [])
        for stream, refusals in touched.items():
            intake.receipts.append(self.receipt(stream, refusals[:MAX_REFUSALS]))
            for start in range(MAX_REFUSALS, len(refusals), MAX_REFUSALS):
                intake.receipts.append(self.receipt(stream, refusals[start : start + MAX_REFUSALS]))
        return intake

    def _take_fresh(self, incoming: Incoming, at_ms: int, intake: Intake) -> list[Refusal]:
        """Of a fresh-first stream whatever is new goes into the journal now, or not at all."""
        pack = incoming.pack
        verdict = self.fresh.judge(pack) if self.fresh.may_come(pack.stream) else Verdict.NOT_NOW
        self.no_room += not self.fresh.may_come(pack.stream)
        intake.verdicts[verdict] = intake.verdicts.get(verdict, 0) + 1
        other = (
            self._contradictions.fresh(pack) if verdict is Verdict.FORK and isinstance(pack, Pack) else None
        )
        if other is not None:
            intake.forks.append(other)
            return []
        if verdict in (Verdict.FORK, Verdict.OVER):
            numbers = (pack.first,) if isinstance(pack, Tombstone) else range(pack.first, pack.last + 1)
            return [Refusal(seq, int(Reason.FORKED)) for seq in numbers]
        if verdict is not Verdict.NEXT:
            return []
        if isinstance(pack, Tombstone):
            entries = self.fresh.bury(pack, at_ms)
            intake.entries += entries
            intake.gone[pack.reason] += sum(entry.last - entry.first + 1 for entry in entries)
            return []
        refusals = self._refuse(pack.stream, incoming.refused)
        if incoming.refused:
            pack = peek(pack.remove(dict.fromkeys(incoming.refused, Removal.REFUSED)))
        intake.entries.append(self.fresh.insert(pack, incoming.age_ms, at_ms))
        intake.messages += pack.count
        return refusals

    def _take_tombstone(
        self, lane: Lane, tombstone: Tombstone, age_ms: int | None, at_ms: int, intake: Intake
    ) -> list[Refusal]:
        """Of its run only the gaps count: they are kept ahead, and journaled from there where they are next."""
        stream = tombstone.stream
        verdict = lane.judge_tombstone(tombstone)
        position = lane.epochs.get(stream.epoch, Position())
        gaps = position.gaps(tombstone.first, tombstone.last)
        size = len(tombstone.raw) + ROW_BYTES
        if verdict in (Verdict.NEXT, Verdict.AHEAD):
            if self._fits(stream, size * len(gaps) if verdict is Verdict.AHEAD else 0):
                self._lanes[_lane_key(stream)] = lane
            else:
                verdict = Verdict.NOT_NOW
                self.no_room += 1
        intake.verdicts[verdict] = intake.verdicts.get(verdict, 0) + 1
        if verdict in (Verdict.FORK, Verdict.OVER):
            return [Refusal(tombstone.first, int(Reason.FORKED))]
        if verdict in (Verdict.NEXT, Verdict.AHEAD):
            row = self._streams.ensure(stream)
            for first, last in gaps:
                self._ahead.add(row, first, last - first + 1, age_ms, tombstone.raw)
                lane.keep_ahead(stream.epoch, first, last, gone=True)
            if verdict is Verdict.NEXT:
                self._advance(lane, _lane_key(stream), at_ms, intake)
        return []

    def _refuse(self, stream: Stream, refused: Mapping[int, Reason]) -> list[Refusal]:
        if refused:
            kept = self._refused.setdefault(stream, {})
            kept |= {seq: int(reason) for seq, reason in refused.items()}
            for seq in list(kept)[:-REPEATED]:
                del kept[seq]
            self._refused.move_to_end(stream)
            if len(self._refused) > REPEATING:
                self._refused.popitem(last=False)
        return [Refusal(seq, int(reason)) for seq, reason in refused.items()]

    def _insert(self, pack: Pack, age_ms: int | None, at_ms: int, intake: Intake) -> None:
        row = self._streams.ensure(pack.stream)
        ident = self._packs.add(row.id, pack.first, pack.count, pack.raw, at=at_ms, age=age_ms, ttl=None)
        intake.entries.append(Entry(ident, pack, pack.first, pack.last, at_ms, age_ms))
        intake.last_id = ident
        intake.messages += pack.count
        row.held, row.hash = pack.last, pack.chain_hash
        self._lane(pack.stream).take(pack.stream.epoch, pack.first, pack.last, pack.chain_hash)
        self._streams.touch(row)

    def _bury(self, lane: Lane, tombstone: Tombstone, last: int, at_ms: int, intake: Intake) -> None:
        """Journal that what is next, up to `last`, is gone."""
        row = self._streams.ensure(tombstone.stream)
        first = lane.position(tombstone.stream.epoch).held + 1
        count = last - first + 1
        ident = self._packs.add(row.id, first, count, tombstone.raw, at=at_ms, age=None, ttl=None)
        intake.entries.append(Entry(ident, tombstone, first, last, at_ms, None))
        intake.last_id = ident
        intake.gone[tombstone.reason] += count
        row.held, row.hash = last, tombstone.chain_hash if last == tombstone.last else None
        lane.bury(tombstone.stream.epoch, last, row.hash)
        if first == 1:
            self._close(lane, tombstone)
        self._streams.touch(row)

    def _advance(self, lane: Lane, key: LaneKey, at_ms: int, intake: Intake) -> None:
        """Journal what waited ahead and is next now."""
        moved = True
        while moved:
            moved = False
            for epoch, first in lane.ready():
                waiting = Stream(key[0], key[1], Class.from_code(key[2]), epoch)
                row = self._streams.ensure(waiting)
                raw, age_ms = self._ahead.get(row, first)
                pack = peek_sealed(raw)
                last = lane.let_go(epoch, first)
                other = None
                if isinstance(pack, Tombstone):
                    verdict = lane.judge_gap(pack, first)
                else:
                    verdict = lane.judge(pack.header, pack.count)
                    other = self._contradictions.of(lane, pack) if verdict in SUSPECT else None
                if other is not None and isinstance(pack, Pack):
                    intake.forks.append((pack, other))
                elif verdict is Verdict.NEXT and isinstance(pack, Tombstone):
                    if last > lane.position(epoch).held:
                        self._bury(lane, pack, last, at_ms, intake)
                        moved = True
                elif verdict is Verdict.NEXT and isinstance(pack, Pack):
                    self._insert(pack, age_ms, at_ms, intake)
                    self._contradictions.remember(pack)
                    self._close(lane, pack)
                    moved = True
                elif verdict is Verdict.AHEAD:  # its epoch's predecessor is still incomplete
                    lane.keep_ahead(epoch, first, last, gone=isinstance(pack, Tombstone))
                    continue
                elif verdict is Verdict.FORK:
                    numbers = (first,) if isinstance(pack, Tombstone) else range(first, last + 1)
                    self._refuse(waiting, dict.fromkeys(numbers, Reason.FORKED))
                    intake.verdicts[verdict] = intake.verdicts.get(verdict, 0) + 1
                self._ahead.delete(row, first)

    def _that_fit(self, key: LaneKey, offered: dict[int, int]) -> dict[int, int]:
        """Of the offers of one lane those whose stream is known, or may be opened."""
        lane, fitting = self._lanes.get(key), {}
        room = MAX_STREAMS - self._streams.count(key[0])
        for epoch, first in offered.items():
            if lane is not None and epoch <= lane.floor:
                continue
            known = lane is not None and epoch in lane.epochs
            if known or room > 0:
                fitting[epoch] = first
                room -= not known
            else:
                self.no_room += 1
        return fitting

    def _fits(self, stream: Stream, more: int) -> bool:
        """Whether its source may keep one more stream, and so many `more` bytes ahead of a gap."""
        source = stream.source
        if self._streams.find(stream) is None and self._streams.count(source) >= MAX_STREAMS:
            return False
        return self._ahead.of(source) + more <= MAX_AHEAD_BYTES or not more

    def _close(self, lane: Lane, pack: Sealed) -> None:
        """What came first in its epoch shows that the epoch before it is complete."""
        before = lane.follows(pack.prev) if pack.first == 1 else None
        row = None if before is None else self._streams.find(replace(pack.stream, epoch=before))
        if row is not None and not row.closed:
            row.closed = CLOSED
            self._streams.touch(row)

    def _later_epochs(self, stream: Stream) -> list[Stream]:
        """The next epochs of the lane: what comes in of one may have moved them on, and nothing else would say so."""
        lane = self._lanes.get(_lane_key(stream))
        later = sorted(epoch for epoch in lane.epochs if epoch > stream.epoch) if lane else ()
        return [replace(stream, epoch=epoch) for epoch in later[:OPEN_EPOCHS]]

    def receipt(self, stream: Stream, refusals: Iterable[Refusal] = ()) -> Receipt:
        """What is held of `stream`, with `refusals` and those of late."""
        if self._is_over(stream):  # what its source had of it has come, or it has said so
            now = tuple(refusals)
            return Receipt(stream, 0 if now else MAX_SEQ, (), now)
        held, ranges = self._held(stream)
        said = list(refusals)
        numbers = {refusal.seq for refusal in said}
        said += [
            Refusal(seq, reason)
            for seq, reason in self._refused.get(stream, {}).items()
            if seq not in numbers and len(said) < MAX_REFUSALS
        ]
        return Receipt(stream, held, ranges, tuple(said[:MAX_REFUSALS]), Reach.FINAL)

    def _is_over(self, stream: Stream) -> bool:
        if stream.cls.fresh:
            return self.fresh.is_over(stream)
        lane = self._lanes.get(_lane_key(stream))
        return lane is not None and stream.epoch <= lane.floor

    def _held(self, stream: Stream) -> tuple[int, tuple[tuple[int, int], ...]]:
        if stream.cls.fresh:
            return self.fresh.held(stream)
        lane = self._lanes.get(_lane_key(stream), Lane(chained=False))
        position = lane.epochs.get(stream.epoch, Position())
        return position.held, position.ranges()

    def highest_epoch(self, source: bytes) -> int:
        """The newest epoch of `source` of which anything is held; 0 for none."""
        return max((row.stream.epoch for row in self._streams.of(source) if row.held), default=0)

    def ends(self, source: bytes) -> list[End]:
        """Where each lane of `source` ends here: its newest epoch of which anything is held. The newest first."""
        newest: dict[LaneKey, StreamRow] = {}
        for row in self._streams.of(source):
            if row.held:
                key = _lane_key(row.stream)
                if key not in newest or newest[key].stream.epoch < row.stream.epoch:
                    newest[key] = row
        rows = sorted(newest.values(), key=lambda row: -row.stream.epoch)[:MAX_ENDS]
        return [End(r.stream.audience, r.stream.cls, r.stream.epoch, r.held, r.hash) for r in rows]

    # -- retention

    def prune(
        self, now_ms: int, max_bytes: int, max_age_ms: int, own: Collection[bytes], limit: int = 256
    ) -> int:
        """Let go of at most `limit` of the oldest delivered packs beyond the bounds; inside a transaction.

        Never what is still owed, nor what a cursor has not passed. Returns how many went.
        """
        (least,) = self._database.execute(sql.CURSOR_LEAST).fetchone()
        newest = self._packs.last_id  # always kept: the next one's id must be above every cursor
        gone = after = 0
        while page := self._database.execute(sql.PACK_OLDEST, (after, limit)).fetchall():
            for ident, stream, first, count, at, size in page:
                after = ident
                row = self._streams.by_id(stream)
                too_old = at and at < now_ms - max_age_ms
                passed = ident < newest and (least is None or ident <= least)
                if gone == limit or not passed or not (self._packs.bytes > max_bytes or too_old):
                    return gone
                last = first + count - 1
                if row.stream.source in own and last > row.settled and not row.spans.covers(first, last):
                    continue
                self._let_go(row, ident, first, last, size)
                gone += 1
        return gone

    def forget_old_epochs(self) -> int:
        """Let go of what is known of epochs that are over and have left the journal; inside a transaction.

        The newest of them stays, and says that all before it are over too. Returns how many went.
        """
        gone = self.fresh.forget_old_epochs()
        for key, lane in self._lanes.items():
            rows: list[StreamRow] = []
            for epoch in lane.over():
                row = self._streams.find(_stream_of(key, epoch))
                if row is None or self._packs.keeps(row):
                    break
                rows.append(row)
            if not rows:
                continue
            stale = [
                row for row in self._streams.of(key[0]) if row.closed == OVER and _lane_key(row.stream) == key
            ]
            lane.forget(row.stream.epoch for row in rows)
            rows[-1].closed = OVER
            self._streams.touch(rows[-1])
            for row in (*stale, *rows[:-1]):
                self._streams.forget(row)
                gone += 1
        return gone

    def make_room(self, own: Collection[bytes], limit: int = 256) -> int:
        """The disk is full: let go of the oldest own packs that were delivered and handed to every subscriber.

        They are history here, and safe elsewhere; what others have sent is kept. Inside a transaction.
        """
        (least,) = self._database.execute(sql.CURSOR_LEAST).fetchone()
        gone = after = 0
        while page := self._database.execute(sql.PACK_OLDEST, (after, limit)).fetchall():
            for ident, stream, first, count, _, size in page:
                after = ident
                if gone == limit or ident >= self._packs.last_id or (least is not None and ident > least):
                    return gone
                row = self._streams.by_id(stream)
                last = first + count - 1
                if row.stream.source in own and (last <= row.settled or row.spans.covers(first, last)):
                    self._let_go(row, ident, first, last, size)
                    gone += 1
        return gone

    def _let_go(self, row: StreamRow, ident: int, first: int, last: int, size: int) -> None:
        if row.stream.cls.fresh:  # what comes in no order has no such boundary: its runs stay, and a count
            row.floor += last - first + 1
        else:
            row.floor, row.floor_hash = last, self._chain_hash(ident, last)
        self._streams.touch(row)
        self._packs.delete(ident, size)

    def _chain_hash(self, ident: int, last: int) -> bytes | None:
        try:
            pack = peek_sealed(self._packs.sealed(ident))
        except Invalid:  # damaged: it proves nothing any more, and must not stay for ever
            return None
        return pack.chain_hash if pack.last == last else None


def _new_lane(key: LaneKey) -> Lane:
    return Lane(chained=Class.from_code(key[2]).durable)


def _stream_of(key: LaneKey, epoch: int) -> Stream:
    return Stream(key[0], key[1], Class.from_code(key[2]), epoch)


def _lane_key(stream: Stream) -> LaneKey:
    return (stream.source, stream.audience, stream.cls.code)
