"""Where every stream stands: kept in memory, written with the transaction that moved it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kos_edge.delivery.spans import Run, Spans
from kos_edge.klp import cbor
from kos_edge.klp.header import link_from_wire, link_to_wire
from kos_edge.klp.pack import Class, Stream
from kos_edge.store import sql
from kos_edge.store.database import Database

OPEN, CLOSED, OVER = (
    0,
    1,
    2,
)  # of a received stream: its source may have more, has no more, nor of older epochs


@dataclass(slots=True)
class StreamRow:
    """One stream as stored; field meanings as in `sql.MIGRATIONS`."""

    id: int
    stream: Stream
    held: int = 0
    hash: bytes | None = None
    settled: int = 0
    floor: int = 0
    floor_hash: bytes | None = None
    closed: int = OPEN
    uptime_ms: int = 0
    spans: Spans = field(default_factory=Spans)
    """Of fresh-first streams: what is held here, of own ones what is settled."""


class Streams:
    """All streams of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: dict[Stream, StreamRow] = {}
        self._by_id: dict[int, StreamRow] = {}
        self._by_source: dict[bytes, dict[int, StreamRow]] = {}
        self._dirty: set[int] = set()
        self.load()

    def load(self) -> None:
        """Read everything again from the file."""
        self._rows.clear()
        self._by_id.clear()
        self._by_source.clear()
        self._dirty.clear()
        for (
            ident,
            source,
            audience,
            code,
            epoch,
            held,
            chain,
            settled,
            floor,
            floor_hash,
            closed,
            up,
            ranges,
        ) in self._database.execute(sql.STREAMS):
            stream = Stream(bytes(source), audience, Class.from_code(code), epoch)
            row = StreamRow(ident, stream, held, chain, settled, floor, floor_hash, closed, up)
            row.spans = spans_of(ranges)
            self._keep(row)

    def __iter__(self) -> Iterator[StreamRow]:
        return iter(self._rows.values())

    def find(self, stream: Stream) -> StreamRow | None:
        """The row of `stream`, None when it is new."""
        return self._rows.get(stream)

    def of(self, source: bytes) -> list[StreamRow]:
        """The rows of one source."""
        return list(self._by_source.get(source, {}).values())

    def count(self, source: bytes) -> int:
        """How many streams of one source are remembered."""
        return len(self._by_source.get(source, {}))

    def by_id(self, ident: int) -> StreamRow:
        """The row with this id."""
        return self._by_id[ident]

    def ensure(self, stream: Stream) -> StreamRow:
        """The row of `stream`, made when it is new; inside a transaction."""
        row = self._rows.get(stream)
        if row is None:
            cursor = self._database.execute(
                sql.STREAM_ADD, (stream.source, stream.audience, stream.cls.code, stream.epoch)
            )
            assert cursor.lastrowid is not None
            row = StreamRow(cursor.lastrowid, stream)
            self._keep(row)
        return row

    def forget(self, row: StreamRow) -> None:
        """Remember `row` no more: no pack of it is kept; inside a transaction."""
        self._database.execute(sql.STREAM_DELETE, (row.id,))
        del self._rows[row.stream], self._by_id[row.id], self._by_source[row.stream.source][row.id]
        self._dirty.discard(row.id)

    def _keep(self, row: StreamRow) -> None:
        self._rows[row.stream] = row
        self._by_id[row.id] = row
        self._by_source.setdefault(row.stream.source, {})[row.id] = row

    def touch(self, row: StreamRow) -> None:
        """`row` changed in memory; the next commit writes it."""
        self._dirty.add(row.id)

    @property
    def dirty(self) -> bool:
        """Whether something waits for the next commit."""
        return bool(self._dirty)

    def write(self) -> None:
        """Write what changed; called just before each commit."""
        for ident in self._dirty:
            row = self._by_id[ident]
            self._database.execute(
                sql.STREAM_POSITION,
                (
                    row.held,
                    row.hash,
                    row.settled,
                    row.floor,
                    row.floor_hash,
                    int(row.closed),
                    row.uptime_ms,
                    runs_to_blob(row.spans),
                    row.id,
                ),
            )
        self._dirty.clear()


def spans_of(blob: bytes | None) -> Spans:
    """The runs that the column `ranges` holds. Raises Invalid, TypeError or ValueError for a damaged one."""
    if blob is None:
        return Spans()
    return Spans([Run(a, b, link_from_wire(prev), chain) for a, b, prev, chain in cbor.decode(bytes(blob))])


def runs_to_blob(spans: Spans) -> bytes | None:
    """What the column `ranges` holds of these runs."""
    if not spans.runs:
        return None
    return cbor.encode([[run.first, run.last, link_to_wire(run.prev), run.hash] for run in spans.runs])
