"""Looking for what proves a fork: something that is held and cannot be of the same source as a pack that has come."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import replace

from kos_edge.delivery.position import Lane
from kos_edge.delivery.suspects import suspects
from kos_edge.errors import Invalid
from kos_edge.klp.fork import MAX_STATEMENT, Statement, contradiction
from kos_edge.klp.pack import Boundary, Link, Pack, Stream, peek
from kos_edge.store import sql
from kos_edge.store.database import Database
from kos_edge.store.packs import Packs
from kos_edge.store.streams import Streams

LOOKED_THROUGH = (
    100_000  # newest packs among which the other half of a proof is looked for: a third of a second
)
FRUITLESS = (
    32  # searches for a source that found nothing, and then no more: nobody keeps the disk busy with forks
)
FIRSTS = 1_024  # streams of which it is remembered what their first pack names as before it


class Contradictions:
    """Searches the journal and what waits ahead of it, bounded for each source."""

    def __init__(self, database: Database, streams: Streams, packs: Packs) -> None:
        self._database = database
        self._streams = streams
        self._packs = packs
        self._firsts: OrderedDict[Stream, Link] = OrderedDict()
        self._fruitless: Counter[bytes] = Counter()

    def clear(self) -> None:
        """Forget what was looked up."""
        self._firsts.clear()

    def of(self, lane: Lane, pack: Pack) -> Pack | None:
        """What is held and cannot be of the same source as this verified pack; None for nearly every pack."""
        for epoch, seq in suspects(lane, pack.header):
            stream = replace(pack.stream, epoch=epoch)
            if seq == 1 and epoch != pack.stream.epoch and not self._may_contradict(stream, pack):
                continue
            held = self._held_at(stream, seq)
            if held is not None and _proves(pack, held):
                return held
        return None

    def fresh(self, pack: Pack) -> tuple[Pack, Pack] | None:
        """A fresh-first pack that is a fork, with what is held and proves it, where that is still there."""
        places = [
            (pack.stream, seq) for seq in (pack.first, pack.last, pack.last + 1, max(1, pack.first - 1))
        ]
        if isinstance(pack.header.prev, Boundary):
            places.append((replace(pack.stream, epoch=pack.header.prev.epoch), pack.header.prev.seq))
        for stream, seq in places:
            held = self._held_at(stream, seq)
            if held is not None and _proves(pack, held):
                return pack, held
        return None

    def _may_contradict(self, stream: Stream, pack: Pack) -> bool:
        """Whether the first pack of `stream` may: by what it names as before it, which is looked up once."""
        if stream not in self._firsts:
            held = self._held_at(stream, 1)
            self._firsts[stream] = None
            if held is not None:
                self.remember(held)
        link, mine = self._firsts.get(stream), pack.header.prev
        if not isinstance(link, Boundary):
            return False
        goes_on = link.epoch == pack.stream.epoch and pack.last >= link.seq
        return goes_on or (isinstance(mine, Boundary) and mine.epoch == link.epoch)

    def remember(self, pack: Pack) -> None:
        """It is held now: what it names as before it is known, where it begins its epoch."""
        if pack.first == 1:
            self._firsts[pack.stream] = pack.header.prev
            if len(self._firsts) > FIRSTS:
                self._firsts.popitem(last=False)

    def _held_at(self, stream: Stream, seq: int) -> Pack | None:
        row = self._streams.find(stream)
        if row is None:
            return None
        found = self._database.execute(sql.AHEAD_AT, (row.id, seq, seq)).fetchone()
        raw = None if found is None else bytes(found[0])
        if raw is None and self._fruitless[stream.source] < FRUITLESS:
            raw = self._packs.at(row.id, seq, LOOKED_THROUGH)
            self._fruitless[stream.source] += raw is None
        try:
            return None if raw is None else peek(raw)
        except Invalid:  # damaged: it proves nothing any more
            return None


def _proves(pack: Pack, held: Pack) -> bool:
    """Whether the two are a proof that can be passed on."""
    if max(len(pack.cose.raw), len(held.cose.raw)) > MAX_STATEMENT:
        return False
    return contradiction(Statement.of(pack), Statement.of(held)) is not None
