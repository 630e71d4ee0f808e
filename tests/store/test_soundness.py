"""A store is looked through beside its writer, to the last page, and what is broken in it is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kos_edge.errors import Unavailable
from kos_edge.store.soundness import unsound
from kos_edge.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "kos.db")
    fill(made, 2_000)
    yield made
    made.close()


def fill(store: Store, count: int) -> None:
    def work() -> None:
        for number in range(count):
            store.records.put("kind", number.to_bytes(8, "big"), bytes(500))

    store.database.transact([work])


def test_a_sound_store_is_sound_while_its_writer_works(store: Store) -> None:
    looked = 0

    def go_on() -> bool:
        nonlocal looked
        looked += 1
        fill(store, looked)
        return False

    assert unsound(store.database.path, go_on) is None  # type: ignore[arg-type]
    assert looked


def test_a_page_that_was_overwritten_is_found(store: Store) -> None:
    store.close()
    path = store.database.path
    assert isinstance(path, Path)
    data = bytearray(path.read_bytes())
    half = len(data) // 2 // 4096 * 4096
    data[half : half + 4096] = bytes(4096)
    path.write_bytes(data)
    assert unsound(path, lambda: False)
    path.write_bytes(b"no database" * 1_000)
    assert unsound(path, lambda: False) == "file is not a database"


def test_a_check_that_is_stopped_or_cannot_look_says_so(store: Store, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="was stopped"):
        unsound(store.database.path, lambda: True)  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match="cannot be checked"):
        unsound(tmp_path / "there is none", lambda: False)
