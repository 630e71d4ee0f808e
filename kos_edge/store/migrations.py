"""From one schema to another, in one transaction each way.

Forward by the migrations of `store/sql.py`. Each from `sql.REVERSIBLE_FROM` on writes its own undoing into the database
in the same transaction: a program that finds a newer schema than it knows runs those, from the newest down to its own.
So an upgrade that is taken back keeps what the newer program has accepted. Undoing never asks the newer program, which
may be gone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from kos_edge.errors import Invalid
from kos_edge.store import sql

MAX_UNDO = 65_536
"""Characters of one undoing; a longer one is damage."""

_FORBIDDEN = frozenset(
    {
        sqlite3.SQLITE_ATTACH,
        sqlite3.SQLITE_DETACH,
        sqlite3.SQLITE_TRANSACTION,
        sqlite3.SQLITE_SAVEPOINT,
        sqlite3.SQLITE_PRAGMA,
    }
)
"""What an undoing has no business with: it comes out of a file, and changes that file alone."""


class Newer(Invalid):
    """A database of a newer kos-edge that does not say how to go back."""


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Bring a database of schema `version` to ours, a transaction for each step. Raises sqlite3.Error."""
    for number, migration in enumerate(sql.MIGRATIONS[version:], start=version + 1):
        steps = ["BEGIN IMMEDIATE", *statements(migration)]
        try:
            for step in steps:
                connection.execute(step)
            if number >= sql.REVERSIBLE_FROM:
                connection.execute(sql.UNDO_TABLE)
                connection.execute(sql.UNDO_PUT, (number, sql.UNDOINGS[number]))
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise


def downgrade(connection: sqlite3.Connection, version: int, path: Path | str) -> None:
    """Bring a database of the newer schema `version` back to ours, all of it or nothing.

    Raises Newer where it does not say how, sqlite3.Error where that does not work; nothing was changed then.
    """
    ours = len(sql.MIGRATIONS)
    undoings = _undoings(connection, ours)
    wanted = range(version, ours, -1)
    if any(number not in undoings for number in wanted):
        raise _newer(path, version)
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.set_authorizer(_may)
        for number in wanted:
            for step in statements(undoings[number]):
                connection.execute(step)
        connection.set_authorizer(None)
        connection.execute(sql.UNDO_FORGET, (ours,))
        connection.execute(f"PRAGMA user_version = {ours}")
        connection.execute("COMMIT")
    except BaseException as error:
        connection.set_authorizer(None)
        _roll_back(connection)
        if isinstance(error, sqlite3.Error) and error.sqlite_errorname in ("SQLITE_ERROR", "SQLITE_AUTH"):
            raise _newer(path, version) from error  # not of the disk: the undoing itself will not do
        raise


def statements(text: str) -> Iterator[str]:
    """The statements of a text, one by one; in a transaction they cannot be given as a script, which commits first."""
    rest = ""
    for piece in text.split(";"):
        rest += piece + ";"
        if sqlite3.complete_statement(rest):
            if rest.strip(" \n\t;"):
                yield rest
            rest = ""
    if rest.strip(" \n\t;"):
        yield rest


def _undoings(connection: sqlite3.Connection, ours: int) -> dict[int, str]:
    (there,) = connection.execute(sql.UNDO_THERE).fetchone()
    if not there:
        return {}
    rows = connection.execute(sql.UNDO_ALL, (ours, MAX_UNDO)).fetchall()
    return {int(number): str(text) for number, text in rows}


def _may(action: int, *names: str | None) -> int:
    return sqlite3.SQLITE_DENY if action in _FORBIDDEN else sqlite3.SQLITE_OK


def _newer(path: Path | str, version: int) -> Newer:
    return Newer(
        f"{path} was written by a newer kos-edge (schema {version})",
        hint="install that version again, or a later one",
    )


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
