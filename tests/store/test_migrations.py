"""Databases of earlier versions open, and nothing that was in them is lost or comes twice.

`schema_N` holds an edge's store and a hub's, written by the last version with that schema: an in-order and a
fresh-first stream of five packs each; the hub has packs one, two and four, and receipts for the first two have come.
From schema 4 on the newest value of one topic waits at the edge; with schema 5 it has three dead letters.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kos_edge.delivery.wire import Offer
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.message import Reason
from kos_edge.klp.pack import Pack, unseal
from kos_edge.store import sql
from kos_edge.store.journal import Incoming
from kos_edge.store.outbox import Stamp
from kos_edge.store.salvage import Rescue, salvage
from kos_edge.store.store import Store
from tests.delivery.world import MESH, values

HERE = Path(__file__).parent
KEY = KeyPair.from_seed(bytes(32))
NOW = Stamp(1000, None, None)
VALUE = Stamp(900, 1_800_000_000_000, 250)


@pytest.mark.parametrize("schema", range(1, len(sql.MIGRATIONS)))
def test_a_store_of_an_earlier_schema_goes_on(schema: int, tmp_path: Path) -> None:
    for name in ("edge", "hub"):
        shutil.copy(HERE / f"schema_{schema}" / f"{name}.sqlite3", tmp_path)
    edge, hub = Store(tmp_path / "edge.sqlite3"), Store(tmp_path / "hub.sqlite3")
    edge.own(KEY.kid)
    assert edge.outbox.usage.messages == 120
    assert hub.records.cursor("reader") == 1
    assert [letter.id for letter in hub.records.dead()] == ["x"]
    assert [kept.stamp for _, kept in edge.latest] == [VALUE] * (schema >= 4)
    owed = edge.outbox.owed()
    offers = [Offer(each.stream, each.first, each.last) for each in owed]
    hub.database.transact([lambda: hub.journal.declare(KEY.kid, offers, 0)])
    for each in owed:
        loads = edge.outbox.take(each.stream, each.first - 1, 1_000_000, NOW, 0.0)
        batch = [Incoming(unseal(load.pack, KEY.public, MESH), load.age_ms) for load in loads]
        hub.database.transact([lambda batch=batch: hub.journal.take_in(batch, 0)])  # type: ignore[misc]
        receipt = hub.journal.receipt(each.stream)
        assert (receipt.held, receipt.ranges) == (100, ())
    assert sorted(map(str, values(hub))) == sorted(str(n) for n in [*range(100), *range(100)])
    edge.close()
    hub.close()


def test_dead_letters_of_the_fifth_schema_have_the_times_that_are_known_of_them(tmp_path: Path) -> None:
    path = tmp_path / "kos.db"
    shutil.copy(HERE / "schema_5" / "edge.sqlite3", path)
    for again in (False, True):
        with closing(Store(path)) as store:
            letters = [(each.id, each.at, each.stamped) for each in store.records.dead()]
            assert letters == [
                ("handler.3", 0, None),
                ("handler.2", 0, 1_800_000_000_000),  # of these `at` was when they were said
                ("refused.10", 1_800_000_100_000, None),
            ]
        if not again:
            salvage(path, Rescue(KEY, dict, lambda: "now"))


def test_dead_letters_go_back_to_the_fifth_schema_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "kos.db"
    shutil.copy(HERE / "schema_5" / "edge.sqlite3", path)
    rows = "SELECT * FROM dead ORDER BY id"
    with closing(sqlite3.connect(path)) as old:
        before = old.execute(rows).fetchall()
    with closing(Store(path)):
        pass
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sql, "MIGRATIONS", sql.MIGRATIONS[:5])
        patched.setattr(sql, "UNDOINGS", {})
        with closing(Store(path)):
            pass
    with closing(sqlite3.connect(path)) as old:
        assert old.execute(rows).fetchall() == before


def test_a_salvage_of_a_file_of_the_fourth_schema_keeps_its_newest_values(tmp_path: Path) -> None:
    path = tmp_path / "kos.db"
    shutil.copy(HERE / "schema_4" / "edge.sqlite3", path)
    salvage(path, Rescue(KEY, dict, lambda: "now"))
    with closing(Store(path)) as store:
        assert [kept.stamp for _, kept in store.latest] == [VALUE]


def test_tombstones_of_the_first_schema_stay_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "kos.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript((HERE / "schema_1" / "tombstones.sql").read_text())
    for _ in range(2):
        with closing(Store(path)) as store:
            store.own(KEY.kid)
            assert values(store) == [1, 4, 5]
            assert store.packs.gone() == {Reason.DROPPED: 2}
            (owed,) = store.outbox.owed()
            loads = store.outbox.take(owed.stream, 0, 1 << 20, NOW, 0.0)
            assert [(load.first, load.last) for load in loads] == [(1, 1), (2, 3), (4, 4), (5, 5)]
            for entry in store.packs.read(0):
                entry.pack.verify(KEY.public, MESH)
                assert isinstance(entry.pack, Pack) == (entry.first != 2)
            assert len(store.latest) == 0
