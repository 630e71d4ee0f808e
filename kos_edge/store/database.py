"""The SQLite file: opening, migrating, and the one transaction mechanism.

Used from one thread at a time. WAL with `synchronous=FULL`: when `commit` returns, the operating system was told to
sync and said that it did. Where it says that it did not, nothing of that commit is ever acknowledged, and the file is
written over where the commit was, closed, opened and checked before anything else is done with it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kos_edge.errors import Invalid, KosError, Unavailable
from kos_edge.said import Said
from kos_edge.store import sql
from kos_edge.store.carve import lost_commits
from kos_edge.store.migrations import downgrade, upgrade
from kos_edge.store.space import ROOM_BYTES, Space, no_space

BUSY_TIMEOUT_S = 5.0  # another process holds the file only while somebody inspects it
WAL_PAGES = (
    1000  # checkpoint after about 1 MB; SQLite's own default, said here because it bounds the log's size
)
LOG_BYTES = 2 << 20  # what a log may keep on disk that once had to grow: a checkpoint had no room, say

MEMBER_PREFIX = "member "  # before the kid in the copy that is kept beside; no key of `meta` begins so

log = logging.getLogger(__name__)


def log_of(path: Path | str) -> Path:
    """Where SQLite keeps the log of the database at `path`."""
    return Path(f"{path}-wal")


def kept_log(path: Path) -> Path:
    """Where a damaged log stays until it is salvaged."""
    return Path(f"{path}-wal.kept")


class Damaged(Invalid):
    """SQLite says that the file is not what it wrote: see `store.salvage`."""


class Database:
    """One open database. `path` may be ":memory:" in tests and simulations.

    `trouble` says what is wrong with the disk under it, until a commit has gone well again.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self.space = Space(path)
        self.trouble: str | None = None
        self._hooks: list[Callable[[], None]] = []
        self._reloads: list[Callable[[], None]] = []
        self._make_room: Callable[[], object] = lambda: None
        self._keep: Callable[[dict[str, bytes]], None] = lambda meta: None
        self._meta_changed = False
        self._stale = False  # what is in memory is ahead of the file, and could not be read again yet
        self._suspect = False  # a sync has failed: what looks written may not be on disk
        try:
            self._connect()
            self._prepare()
        except sqlite3.Error as error:
            if not (self._is_full(error) and self.space.release()):
                raise store_error(error, path) from error
            self._prepare()
        self.space.keep()

    def _connect(self) -> None:
        self._connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )

    def _prepare(self) -> None:
        run = self._connection.execute
        self._take_log()
        (version,) = run("PRAGMA user_version").fetchone()
        if version == 0:
            run(f"PRAGMA page_size = {sql.PAGE_SIZE}")
        if version > len(sql.MIGRATIONS):
            run("PRAGMA journal_mode = WAL")
            run("PRAGMA synchronous = FULL")
            downgrade(self._connection, version, self.path)
            log.warning(
                "%s was written by a newer kos-edge (schema %d): it is in our form again",
                self.path,
                version,
                extra=Said.STORE_OLDER.of(),
            )
            version = len(sql.MIGRATIONS)
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        run(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        run("PRAGMA temp_store = MEMORY")  # a disk without inodes left has no room for temporary files
        run("PRAGMA foreign_keys = ON")
        upgrade(self._connection, version)
        with contextlib.suppress(sqlite3.OperationalError):  # no room for it now: the log serves as it is
            run(
                "PRAGMA wal_checkpoint(TRUNCATE)"
            )  # what another process left in it is read, written and synced
        if isinstance(self.path, Path):
            os.chmod(self.path, 0o600)

    def _take_log(self) -> None:
        """What another process has left in the log is read, written into the file, and synced.

        Raises Damaged where SQLite leaves commits out; the log is kept then, for closing the file removes it.
        """
        kept = None if not isinstance(self.path, Path) else kept_log(self.path)
        try:
            _, frames, _ = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if kept is not None and not kept.exists():
                whole = not lost_commits(log_of(self.path), max(frames, 0), sql.PAGE_SIZE)
                if not whole:
                    os.link(log_of(self.path), kept)
            if kept is not None and kept.exists():
                self._connection.close()
                raise Damaged(f"the log of {self.path} is damaged", hint=_SALVAGE_HINT)
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError:  # no room for it now: the log serves as it is
            return

    def on_commit(self, hook: Callable[[], None], reload: Callable[[], None]) -> None:
        """`hook` writes what it kept in memory just before each commit; `reload` forgets it after a failed one."""
        self._hooks.append(hook)
        self._reloads.append(reload)

    def on_full(self, make_room: Callable[[], object]) -> None:
        """`make_room` deletes what can be spared when the disk is full and a message is to be taken in."""
        self._make_room = make_room

    def on_meta(self, keep: Callable[[dict[str, bytes]], None]) -> None:
        """`keep` is given all of `meta` and every membership after a commit that changed them, for a copy beside."""
        self._keep = keep

    def execute(self, statement: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        """One statement of `store/sql.py`."""
        return self._connection.execute(statement, tuple(values))

    def transact(self, jobs: Iterable[Callable[[], object]]) -> list[object]:
        """Run `jobs` in one transaction and sync it. The result of each, or the KosError that it raised.

        A job that raises KosError has changed nothing; the others stand. Anything of SQLite's undoes all of them
        and raises Unavailable: what was not committed was never accepted. Where the disk was full the reserve is let
        go of, and they are run once more: those that take no message in then find room.
        """
        work = list(jobs)
        try:
            return self._transact(work)
        except sqlite3.Error as error:
            if self._is_full(error) and self.space.release():
                log.warning("%s", self.space.trouble, extra=Said.DISK_FULL.of())
                return self._again(work)
            raise self.failed(error) from error

    def _again(self, work: list[Callable[[], object]]) -> list[object]:
        try:
            return self._transact(work)
        except sqlite3.Error as error:
            raise self.failed(error) from error

    def _transact(self, work: list[Callable[[], object]]) -> list[object]:
        results: list[object] = []
        try:
            self.refresh(mend=True)
            self.execute("BEGIN IMMEDIATE")
            for job in work:
                try:
                    results.append(job())
                except KosError as error:
                    results.append(error)
            for hook in self._hooks:
                hook()
            self.execute("COMMIT")
        except BaseException:
            self._undo()
            raise
        if self._meta_changed:
            self._meta_changed = False
            self._keep(self.worth_a_copy())
        return results

    def _undo(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself: a full disk does that
            if self._connection.in_transaction:
                self.execute("ROLLBACK")
        self._stale = True
        with contextlib.suppress(sqlite3.Error):
            self.refresh()

    def refresh(self, *, mend: bool = False) -> None:
        """Where a commit failed and the file could not be read again: do that now. Raises sqlite3.Error.

        With `mend` what the disk has failed at is made good first; only to look at something it need not be.
        """
        if self._suspect and mend:
            self._mend()
        if self._stale:
            for reload in self._reloads:
                reload()
            self._stale = False

    def check_room(self) -> None:
        """Before a message is taken in: raises Unavailable while the disk is full. Inside a transaction."""
        if self.space.short:
            if self._free() < ROOM_BYTES and self.space.full:
                self._make_room()
            self.space.check(self._free())

    def _free(self) -> int:
        (pages,) = self.execute("PRAGMA freelist_count").fetchone()
        return int(pages) * sql.PAGE_SIZE

    # -- a disk that fails

    def failed(self, error: sqlite3.Error) -> KosError:
        """What to raise for an error of SQLite's. After a failure of the disk the file is checked."""
        code = _code(error)
        if code.startswith("SQLITE_IOERR") and not self._is_full(error):
            if self.trouble is None:
                log.warning(
                    "the disk failed under %s (%s); nothing of that commit is accepted",
                    self.path,
                    code,
                    extra=Said.DISK_FAILED.of(),
                )
            self.trouble = (
                f"the disk fails under {self.path} ({code}): see dmesg; what was accepted before is safe"
            )
            self._suspect = True
            with contextlib.suppress(sqlite3.Error):
                self.refresh(mend=True)
        return store_error(error, self.path)

    def _mend(self) -> None:
        """After a failed sync: write over what it may have left, open anew, check, read again. Raises sqlite3.Error.

        The kernel takes pages for clean whose sync has failed, so the commit would be there after a restart and not
        after a power cut, and later ones behind it would be lost with it. A commit in its place ends that.
        """
        before = self._connection
        if before.in_transaction:
            self.execute("ROLLBACK")
        self.execute("BEGIN IMMEDIATE")
        count = int.from_bytes(self.get(_MENDED_KEY) or b"", "big") + 1
        self.put(_MENDED_KEY, count.to_bytes(4, "big"))
        self.execute("COMMIT")
        try:
            self._connect()
            self._prepare()
            (answer,) = self.execute("PRAGMA quick_check(1)").fetchone()
            if answer != "ok":
                raise sqlite3.DatabaseError(f"SQLITE_CORRUPT: {answer}")
        except BaseException:
            if self._connection is not before:
                self._connection.close()
            self._connection = before
            raise
        before.close()
        self._suspect, self._stale, self.trouble = False, True, None
        log.warning("%s was opened again and checked: it is well", self.path, extra=Said.DISK_WELL.of())

    def _is_full(self, error: sqlite3.Error) -> bool:
        """Whether this is for want of room: SQLite says a failure of the disk where its shared memory cannot grow."""
        code = _code(error)
        return code.startswith("SQLITE_FULL") or (code == "SQLITE_IOERR_SHMSIZE" and self.space.exhausted())

    def get(self, key: str) -> bytes | None:
        """A value of the `meta` table."""
        row = self.execute(sql.META_GET, (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def under(self, prefix: str) -> dict[str, bytes]:
        """The values of the `meta` table whose keys begin so, by the rest of the key."""
        rows = self.execute(sql.META_ALL)
        return {key[len(prefix) :]: bytes(value) for key, value in rows if key.startswith(prefix)}

    def put(self, key: str, value: bytes | None) -> None:
        """Set or (None) delete a value of the `meta` table; inside a transaction."""
        self._meta_changed = True
        if value is None:
            self.execute(sql.META_DELETE, (key,))
        else:
            self.execute(sql.META_PUT, (key, value))

    def worth_a_copy(self) -> dict[str, bytes]:
        """All of `meta`, and every membership under `MEMBER_PREFIX` and its kid."""
        meta = {key: bytes(value) for key, value in self.execute(sql.META_ALL)}
        members = self.execute(sql.RECORDS, (sql.MEMBERS_KIND,))
        return meta | {MEMBER_PREFIX + key.hex(): bytes(cwt) for key, cwt in members}

    def record_changed(self, kind: str) -> None:
        """A record of this kind was set or deleted."""
        if kind == sql.MEMBERS_KIND:
            self._meta_changed = True

    def close(self) -> None:
        """Close the file. Committed data is safe with or without this."""
        self._connection.close()


def store_error(error: sqlite3.Error, path: Path | str) -> KosError:
    """What a person should read when SQLite fails."""
    code = _code(error)
    if code.startswith("SQLITE_FULL"):
        return no_space(path)
    if code.startswith("SQLITE_IOERR"):
        return Unavailable(
            f"the disk failed under {path} ({code})", hint="see dmesg; what was accepted is safe"
        )
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return Unavailable(
            f"cannot write {path}", hint="check the owner and permissions of the state directory"
        )
    schema = code == "SQLITE_ERROR" and str(error).startswith("no such ")  # a table as we never made it
    if schema or code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return Damaged(f"{path} is damaged ({error})", hint=_SALVAGE_HINT)
    return Unavailable(f"the store failed: {error} ({code or type(error).__name__}) at {path}")


def _code(error: sqlite3.Error) -> str:
    """SQLite's name of the error; our own check says it in its text."""
    return getattr(error, "sqlite_errorname", "") or str(error).partition(":")[0]


_SALVAGE_HINT = "kos-edge run brings what can be proven of it into a new one"
_MENDED_KEY = "mended"  # how often a failed sync was written over
