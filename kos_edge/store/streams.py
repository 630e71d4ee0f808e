"""Where every stream stands: kept in memory, written with the transaction that moved it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kos_edge.klp.pack import Class, Stream
from kos_edge.store import sql
from kos_edge.store.database import Database


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
    closed: bool = False
    uptime_ms: int = 0


class Streams:
    """All streams of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: dict[Stream, StreamRow] = {}
        self._by_id: dict[int, StreamRow] = {}
        self._dirty: set[int] = set()
        self.load()

    def load(self) -> None:
        """Read everything again from the file."""
        self._rows.clear()
        self._by_id.clear()
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
        ) in self._database.execute(sql.STREAMS):
            stream = Stream(bytes(source), audience, Class.from_code(code), epoch)
            row = StreamRow(ident, stream, held, chain, settled, floor, floor_hash, bool(closed), up)
            self._rows[stream] = row
            self._by_id[ident] = row

    def __iter__(self) -> Iterator[StreamRow]:
        return iter(self._rows.values())

    def find(self, stream: Stream) -> StreamRow | None:
        """The row of `stream`, None when it is new."""
        return self._rows.get(stream)

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
            self._rows[stream] = row
            self._by_id[row.id] = row
        return row

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
                    row.id,
                ),
            )
        self._dirty.clear()
