"""The store's file: whatever a disk may have made of it."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from kos_edge.errors import Invalid
from kos_edge.klp.sealed import peek_sealed
from kos_edge.store import sql
from kos_edge.store.carve import Pages, lost_commits
from kos_edge.store.finds import Finds, from_pages, pack_row, take_small

_SIZE = 512  # bytes of a page, the least there is, so that an input has several
_FOLDER = tempfile.TemporaryDirectory(prefix="kos-edge-fuzz-")
_FILE, _LOG = Path(_FOLDER.name) / "kos.db", Path(_FOLDER.name) / "kos.db-wal"


def _made() -> tuple[bytes, bytes]:
    """A small database and its log, with rows that need overflow pages."""
    path = Path(_FOLDER.name) / "made.db"
    connection = sqlite3.connect(path)
    connection.executescript(f"PRAGMA page_size = {_SIZE}; PRAGMA journal_mode = WAL")
    for migration in sql.MIGRATIONS:
        connection.executescript(migration)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute(sql.META_PUT, ("name", b"edge"))
    connection.execute(sql.STREAM_ADD, (bytes(16), "hub", 5, 1 << 32))
    for number in range(1, 5):
        connection.execute(
            sql.PACK_PUT, (number, 1, number, 1, 0, None, None, None, b"\x82" + bytes(300 * number))
        )
        connection.commit()
    found = path.read_bytes(), path.with_name("made.db-wal").read_bytes()
    connection.close()
    return found


_DATABASE, _WRITTEN = _made()
SEEDS = (b"\x00" + _DATABASE, b"\x01" + _WRITTEN, b"\x01" + _WRITTEN[: 32 + 4 * (24 + _SIZE)])


def fuzz_pages(data: bytes) -> None:
    """Of a file or a log, whatever is in it: rows of bounded size, each there again at its place, and nothing else."""
    as_log = data[:1] == b"\x01"
    _FILE.write_bytes(_DATABASE if as_log else data[1:])
    _LOG.write_bytes(data[1:] if as_log else _WRITTEN)
    finds = Finds()
    with Pages(_FILE, _LOG, _SIZE) as pages:
        for row in (*pages.filed(), *pages.logged()):
            assert len(row.values) <= 16
            assert pages.row(row.place) == row
            take_small(finds, from_pages([row]))
            if (read := pack_row(row)) is not None:
                try:
                    peek_sealed(read.raw)
                except Invalid:
                    continue
        assert all(pages.row(place) is None for place in (-1, 1 << 62, 1 << 90))
    lost_commits(_LOG, 0, _SIZE)
