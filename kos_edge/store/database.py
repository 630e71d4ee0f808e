"""The SQLite file: opening, migrating, and the one transaction mechanism.

Used from one thread at a time. WAL with `synchronous=FULL`: when `commit` returns, the operating system was told to
sync and said that it did.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kos_edge.errors import Invalid, KosError, Unavailable
from kos_edge.store import sql

BUSY_TIMEOUT_S = 5.0  # another process holds the file only while somebody inspects it
WAL_PAGES = (
    1000  # checkpoint after about 1 MB; SQLite's own default, said here because it bounds the log's size
)


class Database:
    """One open database. `path` may be ":memory:" in tests and simulations."""

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self._hooks: list[Callable[[], None]] = []
        self._reloads: list[Callable[[], None]] = []
        self._stale = False  # what is in memory is ahead of the file, and could not be read again yet
        try:
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._prepare()
        except sqlite3.Error as error:
            raise store_error(error, path) from error

    def _prepare(self) -> None:
        run = self._connection.execute
        (version,) = run("PRAGMA user_version").fetchone()
        if version == 0:
            run(f"PRAGMA page_size = {sql.PAGE_SIZE}")
        if version > len(sql.MIGRATIONS):
            raise Invalid(
                f"{self.path} was written by a newer kos-edge (schema {version})",
                hint="install that version again, or a later one",
            )
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        run("PRAGMA foreign_keys = ON")
        for number, migration in enumerate(sql.MIGRATIONS[version:], start=version + 1):
            self._connection.executescript(f"BEGIN;{migration};PRAGMA user_version = {number};COMMIT;")
        if isinstance(self.path, Path):
            os.chmod(self.path, 0o600)

    def on_commit(self, hook: Callable[[], None], reload: Callable[[], None]) -> None:
        """`hook` writes what it kept in memory just before each commit; `reload` forgets it after a failed one."""
        self._hooks.append(hook)
        self._reloads.append(reload)

    def execute(self, statement: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        """One statement of `store/sql.py`."""
        return self._connection.execute(statement, tuple(values))

    def transact(self, jobs: Iterable[Callable[[], object]]) -> list[object]:
        """Run `jobs` in one transaction and sync it. The result of each, or the KosError that it raised.

        A job that raises KosError has changed nothing; the others stand. Anything of SQLite's undoes all of them
        and raises Unavailable: what was not committed was never accepted.
        """
        results: list[object] = []
        try:
            self.refresh()
            self.execute("BEGIN IMMEDIATE")
            for job in jobs:
                try:
                    results.append(job())
                except KosError as error:
                    results.append(error)
            for hook in self._hooks:
                hook()
            self.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise store_error(error, self.path) from error
        except BaseException:
            self._undo()
            raise
        return results

    def _undo(self) -> None:
        if self._connection.in_transaction:
            with contextlib.suppress(
                sqlite3.Error
            ):  # SQLite has rolled back by itself: a full disk does that
                self.execute("ROLLBACK")
        self._stale = True
        with contextlib.suppress(sqlite3.Error):
            self.refresh()

    def refresh(self) -> None:
        """Where a commit failed and the file could not be read again: do that now. Raises sqlite3.Error."""
        if self._stale:
            for reload in self._reloads:
                reload()
            self._stale = False

    def get(self, key: str) -> bytes | None:
        """A value of the `meta` table."""
        row = self.execute(sql.META_GET, (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, key: str, value: bytes | None) -> None:
        """Set or (None) delete a value of the `meta` table; inside a transaction."""
        if value is None:
            self.execute(sql.META_DELETE, (key,))
        else:
            self.execute(sql.META_PUT, (key, value))

    def close(self) -> None:
        """Close the file. Committed data is safe with or without this."""
        self._connection.close()


def store_error(error: sqlite3.Error, path: Path | str) -> KosError:
    """What a person should read when SQLite fails."""
    code = getattr(error, "sqlite_errorname", "")
    if code.startswith("SQLITE_FULL"):
        return Unavailable(f"no space left for {path}", hint="free some space; what was accepted is safe")
    if code.startswith("SQLITE_IOERR"):
        return Unavailable(
            f"the disk failed under {path} ({code})", hint="see dmesg; what was accepted is safe"
        )
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return Unavailable(
            f"cannot write {path}", hint="check the owner and permissions of the state directory"
        )
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return Invalid(f"{path} is damaged ({error})", hint="keep a copy of the file and restore a backup")
    return Unavailable(f"the store failed: {error} ({code or type(error).__name__}) at {path}")
