"""A database that a newer kos-edge has brought to its own schema is brought back by an older one, or left alone."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from kos_edge.klp.identity import KeyPair
from kos_edge.store import migrations, sql
from kos_edge.store.migrations import Newer, statements
from kos_edge.store.store import Store
from tests.store import later

KEY = KeyPair.from_seed(bytes(32))
EDGE = Path(__file__).parent / "schema_4" / "edge.sqlite3"


@contextmanager
def newer(undoings: dict[int, str] | None = None) -> Iterator[None]:
    """The newer program."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sql, "MIGRATIONS", later.LATER)
        patched.setattr(sql, "UNDOINGS", {**later.UNDOINGS, **(undoings or {})})
        yield


def schema(path: Path) -> tuple[int, list[tuple[str, ...]]]:
    """The number of the schema, and every column of every table."""
    with closing(sqlite3.connect(path)) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        names = database.execute(
            "SELECT name FROM sqlite_master WHERE name <> 'undoing' ORDER BY name"
        ).fetchall()
        columns = [
            (name, *map(str, column))
            for (name,) in names
            for column in database.execute(f"SELECT * FROM pragma_table_info('{name}')")
        ]
    return version, columns


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "kos.db"
    shutil.copy(EDGE, file)
    with closing(Store(file)):
        pass
    return file


def messages(path: Path) -> int:
    with closing(Store(path)) as store:
        store.own(KEY.kid)
        return store.outbox.usage.messages


def test_what_was_accepted_is_there_after_a_newer_program_and_back(path: Path) -> None:
    before, waiting = schema(path), messages(path)
    with newer():
        assert messages(path) == waiting
        assert schema(path)[0] == later.NOW + 2
    assert messages(path) == waiting
    assert schema(path) == before


def test_there_and_back_and_there_again(path: Path) -> None:
    for _ in range(3):
        with newer():
            messages(path)
        assert messages(path) == 120


def test_a_new_store_of_a_newer_program_can_be_taken_back_as_well(tmp_path: Path) -> None:
    with newer(), closing(Store(tmp_path / "kos.db")):
        pass
    with closing(Store(tmp_path / "mine.db")):
        pass
    assert messages(tmp_path / "kos.db") == 0
    assert schema(tmp_path / "kos.db") == schema(tmp_path / "mine.db")


def test_a_newer_database_that_does_not_say_how_is_left_as_it_is(path: Path) -> None:
    with newer():
        messages(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DELETE FROM undoing WHERE schema = ?", (later.NOW + 1,))
        database.commit()
    before = schema(path)
    with pytest.raises(Newer, match=rf"newer kos-edge \(schema {later.NOW + 2}\)"):
        Store(path)
    assert schema(path) == before


@pytest.mark.parametrize(
    "undoing",
    [
        "DROP TABLE there_is_none",
        "ATTACH DATABASE '/tmp/elsewhere' AS other",
        "COMMIT",
        "PRAGMA user_version = 3",
        "SAVEPOINT one",
        "nonsense",
        "SELECT 1;" * 20_000,
    ],
)
def test_an_undoing_that_will_not_do_changes_nothing_and_damages_nothing(path: Path, undoing: str) -> None:
    with newer({later.NOW + 1: undoing}):
        messages(path)
    before = schema(path)
    with pytest.raises(Newer):
        Store(path)
    assert schema(path) == before
    with newer():
        assert messages(path) == 120


@pytest.mark.parametrize("step", range(1, 7))
@pytest.mark.parametrize("back", [False, True])
def test_what_breaks_off_in_a_migration_or_its_undoing_changes_nothing(
    path: Path, step: int, back: bool
) -> None:
    if back:
        with newer():
            messages(path)
    before, count = schema(path), 0

    def broken(text: str) -> Iterator[str]:
        nonlocal count
        for each in statements(text):
            count += 1
            if count == step:
                raise KeyboardInterrupt
            yield each

    with pytest.MonkeyPatch.context() as patched:
        if not back:
            patched.setattr(sql, "MIGRATIONS", later.LATER[: later.NOW + 1] if step < 5 else later.LATER)
            patched.setattr(sql, "UNDOINGS", later.UNDOINGS)
        patched.setattr(migrations, "statements", broken)
        if back and step > 4:
            assert messages(path) == 120
        else:
            with pytest.raises(KeyboardInterrupt):
                Store(path)
            assert schema(path)[0] in (before[0], later.NOW + 1)
    assert messages(path) == 120
    with newer():
        assert messages(path) == 120


def test_every_migration_from_now_on_says_how_it_is_undone() -> None:
    assert sql.UNDOINGS.keys() == set(range(sql.REVERSIBLE_FROM, len(sql.MIGRATIONS) + 1))


def test_statements_are_told_apart_where_comments_texts_and_triggers_have_semicolons() -> None:
    assert len(list(statements(later.SIXTH))) == 4
    assert len(list(statements(later.SEVENTH))) == 6
    assert list(statements(" ; \n;")) == []
