"""The disk under a simulated node: SQLite's own files, and what disks do to them, at moments that are chosen.

A full disk and a sync that fails are errors of the commit. A power cut comes in the middle of one: what had been
synced before is there afterwards; of what that commit was writing each sector is there, is not, or is zeros.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

from kos_edge.store.database import Database

SECTOR: Final = 512
"""Bytes that a disk writes at once, or not."""

_LOG_HEADER = 32  # of SQLite's write-ahead log, with the salt that tells its generations apart


class Ailment(Enum):
    """Why a commit fails, as SQLite says it."""

    FULL = ("SQLITE_FULL", sqlite3.SQLITE_FULL, "database or disk is full")
    BROKEN = ("SQLITE_IOERR_FSYNC", sqlite3.SQLITE_IOERR_FSYNC, "disk I/O error")

    def error(self) -> sqlite3.OperationalError:
        name, code, text = self.value
        error = sqlite3.OperationalError(text)
        error.sqlite_errorname, error.sqlite_errorcode = name, code
        return error


@dataclass(frozen=True, slots=True)
class Content:
    """The two files of a database: the main one and its write-ahead log."""

    main: bytes
    log: bytes

    @classmethod
    def read(cls, path: Path) -> Content:
        return cls(_bytes(path), _bytes(_log_of(path)))

    def write(self, path: Path) -> None:
        path.write_bytes(self.main)
        _log_of(path).write_bytes(self.log)


class Disk:
    """One machine's. `ailment` makes every commit fail for as long as it is set; `committed` is told after each.

    `checkpoint` is the number of pages after which SQLite brings its log back into the main file.
    """

    def __init__(self, lot: random.Random) -> None:
        self.ailment: Ailment | None = None
        self.checkpoint: int | None = None
        self.committed: Callable[[], None] | None = None
        self._lot = lot
        self._path = Path()
        self._cut_after = 0
        self._on_cut: Callable[[Content], None] | None = None
        self._is_cut = False
        self._after: Content | None = None

    def mount(self, database: Database) -> None:
        """Lie under this database from now on."""
        assert isinstance(database.path, Path)
        self._path = database.path
        if self.checkpoint is not None:
            database.execute(f"PRAGMA wal_autocheckpoint = {self.checkpoint}")
        database.on_commit(self._commit, lambda: None)

    def cut_at(self, commit: int, on_cut: Callable[[Content], None] | None) -> None:
        """Let the power fail in the middle of the so-manieth commit from now (0: the next); None: not after all.

        `on_cut` gets what was synced before that commit; nothing must leave the machine from then on.
        """
        self._cut_after, self._on_cut = commit, on_cut

    def left(self, before: Content, folder: Path, target: Path) -> None:
        """Copy a state folder as the power cut left it: `before` was synced, everything since was not."""
        shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*-shm", "*.reserve"))
        after = self._after or Content.read(self._path)
        self._is_cut, self._after = False, None
        torn(before, after, self._lot).write(target / self._path.name)

    def _commit(self) -> None:
        if self._is_cut and self._after is None:  # a later commit begins when the one that was cut is synced
            self._after = Content.read(self._path)
        if self.ailment is not None:
            raise self.ailment.error()
        if self.committed is not None:
            asyncio.get_running_loop().call_soon(self.committed)
        if self._on_cut is not None:
            if self._cut_after == 0:
                on_cut, self._on_cut, self._is_cut = self._on_cut, None, True
                if self.committed is not None:
                    self.committed()  # the commit before this one may not have been looked at yet
                on_cut(Content.read(self._path))
            self._cut_after -= 1


def torn(before: Content, after: Content, lot: random.Random) -> Content:
    """What a power cut leaves between two syncs of SQLite in WAL mode.

    The log is written and synced first. Only then is the main file written (a checkpoint), and only when that is
    synced does a new generation of the log begin, whose header is synced before anything follows it.
    """
    if after.log[:_LOG_HEADER] != before.log[:_LOG_HEADER] and before.log:
        mixed = _mixed(before.log, after.log, lot)
        return replace(after, log=after.log[:_LOG_HEADER] + mixed[_LOG_HEADER:])
    if after.main != before.main and lot.random() < 0.5:
        return replace(after, main=_mixed(before.main, after.main, lot))
    return Content(before.main, _mixed(before.log, after.log, lot))


def _mixed(before: bytes, after: bytes, lot: random.Random) -> bytes:
    """Each sector old or new, and zeros where there was none; the file as long as before, as after, or in between."""
    if len(after) < len(before):  # it was closed in order
        return after
    kept = lot.choice((0.0, 0.5, 0.9, 1.0))  # nothing, a part, or all of it
    length = lot.choice((len(before), len(after), lot.randint(len(before), len(after))))
    pieces = []
    for at in range(0, length, SECTOR):
        old, new = before[at : at + SECTOR], after[at : at + SECTOR]
        pieces.append(new if old == new or lot.random() < kept else old.ljust(len(new), b"\0"))
    return b"".join(pieces)[:length]


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")
