"""A salvage finds former versions of pages in the log: what was dropped or numbered anew does not come back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kos_edge.klp.identity import KeyPair
from kos_edge.store.salvage import Rescue, salvage
from kos_edge.store.store import Store
from kos_edge.store.takeover import renumber
from tests.delivery.world import MESH, Source, bury

KEY = KeyPair.from_seed(bytes(32))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Sixty packs of one message wait."""
    source = Source(KEY, Store(tmp_path / "kos.db"))
    source.store.database.transact([lambda: source.store.database.put("mesh", MESH)])
    for number in range(60):
        source.append([number])
    return source


def salvaged(source: Source, left: Path) -> Store:
    """What comes of the file and its log as a power cut leaves them."""
    left.mkdir()
    database = Path(source.store.database.path)
    for file in (database, database.with_name(f"{database.name}-wal")):
        shutil.copy(file, left / file.name)
    source.store.close()
    salvage(left / database.name, Rescue(KEY, dict, lambda: "now"))
    store = Store(left / database.name)
    store.own(KEY.kid)
    return store


def owed(store: Store) -> list[tuple[int, int]]:
    return [
        (each.first, each.last)
        for each in (e for o in store.outbox.owed() for e in store.outbox.waiting(o.stream))
    ]


def test_what_was_dropped_stays_under_its_tombstone(source: Source, tmp_path: Path) -> None:
    for low in range(1, 40, 4):
        bury(source, range(low, low + 4))
    store = salvaged(source, tmp_path / "left")
    assert owed(store) == [(1, 40), *((number, number) for number in range(41, 61))]
    store.close()


def test_what_was_numbered_anew_has_its_new_number(source: Source, tmp_path: Path) -> None:
    (old,) = (each.stream for each in source.store.outbox.owed())
    source.restart()
    source.store.database.transact([lambda: renumber(source.store, KEY, MESH, [old])])
    store = salvaged(source, tmp_path / "left")
    assert owed(store) == [(number, number) for number in range(1, 61)]
    assert [each.stream.epoch for each in store.outbox.owed()] == [source.store.outbox.epoch]
    assert store.outbox.tombstones.messages == 0
    store.close()
