"""What waits beside the journal, ahead of a gap: packs, and gaps in the runs of tombstones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from kos_edge.store import sql
from kos_edge.store.database import Database
from kos_edge.store.streams import StreamRow, Streams

ROW_BYTES = 128  # bytes that one takes beside its own


class Ahead:
    """The table of them, and how many bytes each source has there. Verbs run inside a transaction."""

    def __init__(self, database: Database, streams: Streams) -> None:
        self._database = database
        self._streams = streams
        self._bytes: Counter[bytes] = Counter()

    def load(self) -> Iterator[tuple[StreamRow, int, int, bool]]:
        """Count again from the file; of each that waits its stream, first and last number, and whether it is a gap."""
        self._bytes.clear()
        for ident, first, count, size, gone in self._database.execute(sql.AHEAD_ALL):
            row = self._streams.by_id(ident)
            self._bytes[row.stream.source] += size + ROW_BYTES
            yield row, first, first + count - 1, bool(gone)

    def of(self, source: bytes) -> int:
        """The bytes that a source has here."""
        return self._bytes[source]

    def add(self, row: StreamRow, first: int, count: int, age_ms: int | None, raw: bytes) -> None:
        """Keep one."""
        self._database.execute(sql.AHEAD_ADD, (row.id, first, count, age_ms, raw))
        self._bytes[row.stream.source] += len(raw) + ROW_BYTES

    def get(self, row: StreamRow, first: int) -> tuple[bytes, int | None]:
        """Its bytes and its age on arrival."""
        raw, age_ms = self._database.execute(sql.AHEAD_GET, (row.id, first)).fetchone()
        return bytes(raw), age_ms

    def delete(self, row: StreamRow, first: int) -> None:
        """It is in the journal, or not wanted any more."""
        raw, _ = self.get(row, first)
        self._database.execute(sql.AHEAD_DELETE, (row.id, first))
        self._bytes[row.stream.source] -= len(raw) + ROW_BYTES
