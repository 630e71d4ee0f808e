"""A simulated power cut leaves what a disk may leave: what was synced, and any part of what was not."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kos_edge.klp.body import Data
from kos_edge.store.database import Database
from kos_edge.testing import in_virtual_time
from kos_edge.testing.disk import Content, Disk, torn
from kos_edge.testing.oracle import Oracle
from kos_edge.testing.trace import Trace
from tests.node.world import World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


def rows(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [number for (number,) in database.execute("SELECT number FROM kept ORDER BY number")]


@pytest.mark.parametrize("checkpoint", [1000, 4])
def test_what_was_synced_before_the_power_failed_is_there_and_a_transaction_is_whole_or_not_at_all(
    checkpoint: int, tmp_path: Path
) -> None:
    path, lot, outcomes = tmp_path / "kept.db", random.Random(checkpoint), set()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for setting in ("page_size = 1024", "journal_mode = WAL", "synchronous = FULL"):
            database.execute(f"PRAGMA {setting}")
        database.execute(f"PRAGMA wal_autocheckpoint = {checkpoint}")
        database.execute("CREATE TABLE kept (number INTEGER, filling BLOB)")
        for number in range(24):
            before = Content.read(path)
            database.execute("BEGIN")
            for _ in range(2):
                database.execute("INSERT INTO kept VALUES (?, ?)", (number, bytes(700)))
            database.execute("COMMIT")
            for _ in range(5):
                left = tmp_path / "left.db"
                torn(before, Content.read(path), lot).write(left)
                found = rows(left)
                assert found[: 2 * number] == [n for n in range(number) for _ in range(2)]
                assert found[2 * number :] in ([], [number] * 2)
                outcomes.add(len(found) - 2 * number)
                left.with_name("left.db-wal").unlink(missing_ok=True)
                left.with_name("left.db-shm").unlink(missing_ok=True)
    assert outcomes == {0, 2}


@in_virtual_time
async def test_nothing_leaves_a_machine_whose_power_has_failed(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await edge.publish("air.temperature", 1)
        await world.drained(edge)
        await asyncio.sleep(1)
        sent = world.network.traffic.datagrams
        edge.lose_power()
        future = edge.node.publisher.enqueue("air.temperature", Data(2), linger_s=0.0)
        await edge.off(within=5)
        assert future.done()
        assert not edge.running
        await asyncio.sleep(1)
        assert world.network.traffic.datagrams == sent
        await edge.start()
        await edge.publish("air.temperature", 3)
        await world.drained(edge)
        assert await hub.values() in ([1, 3], [1, 2, 3])


@in_virtual_time
async def test_a_receiver_that_forgets_what_it_gave_a_receipt_for_is_found_out(tmp_path: Path) -> None:
    said: list[str] = []
    oracle = Oracle(Trace(), said.append)
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        oracle.started(hub)
        oracle.started(edge)
        await hub.stop()
        synced = Content.read(hub.state / "kos.db")
        await hub.start()
        oracle.started(hub)
        await edge.publish("air.temperature", 1)
        await world.drained(edge)
        assert not said
        await hub.stop()
        synced.write(hub.state / "kos.db")
        await hub.start()
        oracle.started(hub)
    assert "which nobody has" in said[0]


def test_what_a_process_still_commits_after_its_power_failed_is_on_no_disk(tmp_path: Path) -> None:
    """It may do so before it is noticed: each of those would have waited for the sync that never came."""
    (tmp_path / "state").mkdir()
    for seed in range(20):
        disk = Disk(random.Random(seed))
        cut: list[Content] = []
        with closing(Database(tmp_path / "state" / f"{seed}.db")) as database:
            disk.mount(database)

            def commit(number: int, database: Database = database) -> None:
                database.transact([lambda: database.put(f"{number}", bytes(200))])

            commit(0)
            disk.cut_at(0, cut.append)
            for number in range(1, 6):
                commit(number)
            disk.left(cut[0], tmp_path / "state", tmp_path / f"left {seed}")
        with closing(Database(tmp_path / f"left {seed}" / f"{seed}.db")) as left:
            assert left.get("0") is not None
            assert left.get("2") is None
