"""`python -m benchmarks.store_writes`: bytes handed to write calls for each message, by how many share a commit.

Beside it, in the same run, SQLite as it comes: pages of 4,096 bytes, one row a message with an index. Bodies are 300
bytes. Counted by the kernel (`wchar` of /proc/self/io), so the database and its log are both in it.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from kos_edge.klp.body import Data
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Class, Message
from kos_edge.store.outbox import Stamp
from kos_edge.store.store import Store

BODY = "x" * 300
COMMITS = {1: 1000, 10: 300, 100: 60}  # messages in a commit: commits to measure


def written() -> int:
    """Bytes that this process has handed to write calls."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


def ours(folder: Path, size: int) -> float:
    """Bytes a message in our store."""
    key = KeyPair.from_seed(bytes(32))
    with closing(Store(folder / f"ours-{size}.db")) as store:
        store.own(key.kid)
        store.database.transact([lambda: store.outbox.open_epoch(lambda n: bytes(n))])
        messages = [Message("air.temperature", Data(BODY))] * size
        stamp = Stamp(1, None, None)

        def commit() -> None:
            job = lambda: store.outbox.append(key, bytes(32), ("hub", Class()), messages, stamp, settle=False)  # noqa: E731
            store.database.transact([job])

        return _measure(commit, size)


def plain(folder: Path, size: int) -> float:
    """Bytes a message in a table with an index, SQLite's own settings but for the synced log."""
    with closing(sqlite3.connect(folder / f"plain-{size}.db", isolation_level=None)) as database:
        database.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
            "CREATE TABLE message (id INTEGER PRIMARY KEY, topic TEXT, body BLOB);"
            "CREATE INDEX topics ON message (topic);"
        )

        def commit() -> None:
            database.execute("BEGIN")
            database.executemany("INSERT INTO message (topic, body) VALUES (?, ?)", [("air", BODY)] * size)
            database.execute("COMMIT")

        return _measure(commit, size)


def _measure(commit: Callable[[], None], size: int) -> float:
    before = written()
    for _ in range(COMMITS[size]):
        commit()
    return (written() - before) / COMMITS[size] / size


def main() -> None:
    """Print the table."""
    print("messages a commit   ours, bytes   plain SQLite, bytes   ratio")
    with tempfile.TemporaryDirectory() as folder:
        for size in COMMITS:
            mine, other = ours(Path(folder), size), plain(Path(folder), size)
            print(f"{size:>17}   {mine:>11,.0f}   {other:>19,.0f}   {mine / other:>5.2f}")


if __name__ == "__main__":
    main()
