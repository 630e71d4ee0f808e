"""Whether a store is sound, by SQLite's own check of every page, beside whoever works on it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from kos_edge.errors import Unavailable

_STEPS = 10_000
"""Of SQLite's machine between two looks at whether to stop: some milliseconds."""


def unsound(path: Path, stop: Callable[[], bool]) -> str | None:
    """What is wrong with the store at `path`, None where nothing is. Slow: it reads all of it.

    Over a connection of its own, which only reads: commits go on meanwhile. Raises Unavailable where it was stopped, or
    cannot look at all.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2.0)) as store:
            store.set_progress_handler(stop, _STEPS)
            (word,) = store.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname == "SQLITE_INTERRUPT":
            raise Unavailable("the check of the database was stopped") from None
        if error.sqlite_errorname.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return str(error)
        raise Unavailable(f"the database cannot be checked: {error}") from None
    return None if word == "ok" else str(word).replace("\n", " ")[:200]
