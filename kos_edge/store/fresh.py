"""The journal's fresh-first streams: what comes is handed on at once, and the runs that are held are kept for ever."""

from __future__ import annotations

from collections.abc import Mapping

from kos_edge.delivery.fresh import FreshLane
from kos_edge.delivery.position import Verdict
from kos_edge.delivery.spans import Run, Spans
from kos_edge.klp.pack import Class, Pack, Stream
from kos_edge.klp.sealed import Sealed
from kos_edge.klp.tombstone import Tombstone
from kos_edge.store.packs import Entry, Packs
from kos_edge.store.streams import CLOSED, OPEN, OVER, StreamRow, Streams

LaneKey = tuple[bytes, str, int]


class FreshShelf:
    """Positions and packs of received fresh-first streams. Writing verbs run inside a transaction."""

    def __init__(self, streams: Streams, packs: Packs, most: int) -> None:
        self._most = most  # streams of one source
        self._streams = streams
        self._packs = packs
        self._lanes: dict[LaneKey, FreshLane] = {}

    def clear(self) -> None:
        """Forget what is in memory."""
        self._lanes.clear()

    def place(self, row: StreamRow) -> None:
        """A stream as stored. One of before there were runs was held in order."""
        lane = self._kept_lane(row.stream)
        if row.closed == OVER:
            lane.floor = max(lane.floor, row.stream.epoch)
            return
        held = [Run(1, row.held, None, row.hash)] if row.held else []
        lane.epochs[row.stream.epoch] = row.spans if row.spans.runs else Spans(held)
        if row.closed:
            lane.closed.add(row.stream.epoch)

    def declare(self, key: LaneKey, offered: Mapping[int, int]) -> None:
        """The source says what it still has of a lane: epoch -> first number; inside a transaction.

        What was settled elsewhere has left, in a way.
        """
        for epoch, first in offered.items():
            stream = _stream_of(key, epoch)
            spans = self._lane(stream).epochs.get(epoch) or Spans()
            missing = spans.gaps(1, first - 1) if self.may_come(stream) else []
            if missing and self._kept_lane(stream).declare(epoch, first):
                self._keep(stream)
                self._streams.ensure(stream).floor += sum(last - start + 1 for start, last in missing)
        lane = self._lanes.get(key)
        for epoch in lane.close(offered) if lane is not None else ():
            row = self._streams.ensure(_stream_of(key, epoch))
            row.closed = CLOSED if row.closed == OPEN else OPEN
            self._streams.touch(row)

    def held(self, stream: Stream) -> tuple[int, tuple[tuple[int, int], ...]]:
        """Up to where everything is held, and the ranges beyond."""
        spans = self._lane(stream).epochs.get(stream.epoch) or Spans()
        return spans.held, spans.ranges

    def is_over(self, stream: Stream) -> bool:
        """Whether its epoch was complete, and is forgotten."""
        return stream.epoch <= self._lane(stream).floor

    def may_come(self, stream: Stream) -> bool:
        """Whether its source may keep this stream here: one that is known, or over, or one more."""
        over = stream.epoch <= self._lane(stream).floor
        return (
            over or self._streams.find(stream) is not None or self._streams.count(stream.source) < self._most
        )

    def judge(self, pack: Sealed) -> Verdict:
        """What to do with a verified pack or tombstone."""
        lane = self._lane(pack.stream)
        if isinstance(pack, Tombstone):
            return lane.judge_tombstone(pack)
        return lane.judge(pack.stream.epoch, _run(pack))

    def insert(self, pack: Pack, age_ms: int | None, at_ms: int) -> Entry:
        """Journal a pack, late where something newer is there."""
        lane = self._kept_lane(pack.stream)
        late = lane.is_late(pack.stream.epoch, pack.last)
        row = self._streams.ensure(pack.stream)
        values = (row.id, pack.first, pack.count, pack.raw)
        ident = self._packs.add(*values, at=at_ms, age=age_ms, ttl=None, late=late)
        lane.take(pack.stream.epoch, _run(pack))
        self._keep(pack.stream)
        return Entry(ident, pack, pack.first, pack.last, at_ms, age_ms, late)

    def bury(self, tombstone: Tombstone, at_ms: int) -> list[Entry]:
        """Journal what is not held of a tombstone's run: those gaps."""
        stream = tombstone.stream
        row = self._streams.ensure(stream)
        lane = self._kept_lane(stream)
        entries: list[Entry] = []
        for first, last in lane.spans(stream.epoch).gaps(tombstone.first, tombstone.last):
            values = (row.id, first, last - first + 1, tombstone.raw)
            ident = self._packs.add(*values, at=at_ms, age=None, ttl=None)
            entries.append(Entry(ident, tombstone, first, last, at_ms, None))
            prev = tombstone.prev if first == tombstone.first else None
            chain_hash = tombstone.chain_hash if last == tombstone.last else None
            lane.take(stream.epoch, Run(first, last, prev, chain_hash))
        self._keep(stream)
        return entries

    def forget_old_epochs(self) -> int:
        """Let go of what is known of epochs that are over and have left the journal; inside a transaction.

        The newest of them stays, and says that all before it are over too. Returns how many went.
        """
        gone = 0
        for key, lane in self._lanes.items():
            rows: list[StreamRow] = []
            for epoch in lane.over():
                row = self._streams.find(_stream_of(key, epoch))
                if row is None or row.floor < lane.epochs[epoch].count:
                    break
                rows.append(row)
            if not rows:
                continue
            last = rows[-1]
            stale = [
                row
                for row in self._streams.of(key[0])
                if row.closed == OVER
                and (row.stream.audience, row.stream.cls) == (last.stream.audience, last.stream.cls)
            ]
            lane.forget(row.stream.epoch for row in rows)
            last.closed, last.spans = OVER, Spans()
            self._streams.touch(last)
            for row in (*stale, *rows[:-1]):
                self._streams.forget(row)
                gone += 1
        return gone

    def _lane(self, stream: Stream) -> FreshLane:
        """The lane of a stream, to look at: one that is new is not remembered before something of it is."""
        return self._lanes.get(_lane_key(stream)) or FreshLane()

    def _kept_lane(self, stream: Stream) -> FreshLane:
        return self._lanes.setdefault(_lane_key(stream), FreshLane())

    def _keep(self, stream: Stream) -> None:
        """Write the runs with the next commit; the row itself says the highest number, as for streams in order."""
        row = self._streams.ensure(stream)
        row.spans = self._lane(stream).spans(stream.epoch)
        top = row.spans.top
        if top is not None:
            row.held, row.hash = top.last, top.hash
        self._streams.touch(row)


def _stream_of(key: LaneKey, epoch: int) -> Stream:
    return Stream(key[0], key[1], Class.from_code(key[2]), epoch)


def _lane_key(stream: Stream) -> LaneKey:
    return (stream.source, stream.audience, stream.cls.code)


def _run(pack: Pack) -> Run:
    return Run(pack.first, pack.last, pack.header.prev, pack.chain_hash)
