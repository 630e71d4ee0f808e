"""Fresh-first streams between whole nodes: the newest first, everything once, over restarts and losses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kos_edge.cli.demo.ledger import Ledger
from kos_edge.klp.body import Data
from kos_edge.klp.pack import Message, Packer, Position, unseal
from kos_edge.node.config import TopicRule
from kos_edge.node.sections import JournalSection
from kos_edge.store.journal import Incoming, Intake
from kos_edge.testing import in_virtual_time
from kos_edge.testing.machine import Machine
from kos_edge.transport.faults import Faults
from tests.node.world import World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

FRESH = (TopicRule("air.#", {"order": "fresh-first"}),)
BAD = Faults(loss=0.1, duplicate=0.1, reorder=0.3, corrupt=0.02, delay=0.02, jitter=0.01)
SLOW = Faults(delay=0.02, rate=8_000)


def edge_ids(hub: Machine) -> set[str]:
    """The ids of what a hub holds of others."""
    return {
        str(entry.pack.position(number))
        for entry in hub.node.writer.store.packs.read(0, 10_000)
        for number in range(entry.first, entry.last + 1)
    }


async def heard(machine: Machine) -> list[tuple[int, int, bool]]:
    """Epoch, number and lateness of what is in a journal, in its order."""
    found = []
    async for each in machine.node.feed.messages(0, follow=False):
        position = Position.parse(each.delivery.id)
        found.append((position.stream.epoch, position.seq, each.delivery.late))
    return found


@in_virtual_time
async def test_after_an_outage_the_newest_comes_first_and_the_rest_is_late(tmp_path: Path) -> None:
    async with World(tmp_path, faults=SLOW) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge", topics=FRESH)
        world.isolate(edge)
        for start in range(0, 1_000, 50):
            await edge.publish("air.temperature", *(f"{n:040}" for n in range(start, start + 50)))
        world.network.heal()
        await world.drained(edge)
        got = await heard(hub)
        assert sorted(n for _, n, _ in got) == list(range(1, 1_001))
        assert got[0][1] > 950
        assert [late for _, _, late in got].count(False) <= 50
        assert got[-1][2]
        (spans,) = [row.spans for row in hub.node.writer.store.streams if row.stream.cls.fresh]
        assert spans.ranges == ()


@in_virtual_time
async def test_what_is_published_while_the_backlog_drains_does_not_wait_for_it(tmp_path: Path) -> None:
    async with World(tmp_path, faults=SLOW) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge", topics=FRESH)
        world.isolate(edge)
        for start in range(0, 2_000, 100):
            await edge.publish("air.temperature", *(f"{n:040}" for n in range(start, start + 100)))
        world.network.heal()
        await world.until(lambda: edge.node.writer.store.outbox.usage.messages < 1_800)
        (fresh,) = await edge.publish("air.temperature", "now")
        await world.until(lambda: fresh in edge_ids(hub), within=2)
        assert edge.node.writer.store.outbox.usage.messages > 800
        await world.drained(edge)


@pytest.mark.parametrize("seed", range(3))
def test_over_a_bad_network_and_restarts_of_both_everything_comes_once(seed: int, tmp_path: Path) -> None:
    @in_virtual_time
    async def story() -> None:
        async with World(tmp_path, seed=seed, faults=BAD) as world:
            hub = await world.hub()
            edge = await world.member(hub, "edge", topics=FRESH)
            for start in range(5):
                world.isolate(edge)
                for _ in range(4):
                    await edge.publish("air.temperature", *range(start * 100, start * 100 + 25))
                await edge.kill()
                await edge.start()
                world.network.heal()
                await asyncio.sleep(1.3)
                await hub.kill()
                await hub.start()
            await world.drained(edge)
            assert sorted(await hub.received()) == sorted(edge.acknowledged)
            assert await world.ledger([edge], hub) == Ledger(500, 500, 0, 0, 0, 0, 0)

    story()


@in_virtual_time
async def test_what_ranges_cover_counts_as_settled_also_after_a_restart(tmp_path: Path) -> None:
    async with World(tmp_path, faults=SLOW) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge", topics=FRESH)
        world.isolate(edge)
        for start in range(0, 1_000, 100):
            await edge.publish("air.temperature", *(f"{n:040}" for n in range(start, start + 100)))
        world.network.heal()
        await world.until(lambda: edge.node.writer.store.outbox.usage.messages < 700)
        await hub.stop()
        await asyncio.sleep(2)
        left = edge.node.writer.store.outbox.usage.messages
        await edge.stop()
        await edge.start()
        assert edge.node.writer.store.outbox.usage.messages == left < 700
        sent = world.network.traffic.datagram_bytes
        await hub.start()
        await world.drained(edge)
        assert world.network.traffic.datagram_bytes - sent < left * 100
        assert hub.node.inbound.counters["duplicate"] == 0
        assert sorted(await hub.received()) == sorted(edge.acknowledged)


@in_virtual_time
async def test_what_expires_of_a_fresh_first_stream_is_known_as_that_and_missed_by_nobody(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge", topics=FRESH)
        world.isolate(edge)
        for value, ttl_s in ((1, None), (2, 30), (3, 30), (4, None), (5, 30), (6, None)):
            await edge.node.publisher.enqueue("air.temperature", Data(value), ttl_s=ttl_s, linger_s=0.0)
        await asyncio.sleep(180)
        world.network.heal()
        await world.drained(edge)
        await asyncio.sleep(2)
        assert sorted(await hub.values(), key=str) == [1, 4, 6]
        (row,) = [row for row in hub.node.writer.store.streams if row.stream.cls.fresh]
        assert row.spans.held == 6
        assert hub.node.writer.store.packs.gone().total() == 3
        assert not edge.node.writer.store.outbox.owed()
        assert await world.ledger([edge], hub) == Ledger(6, 3, 0, 0, 0, 0, 0, dropped=3)


@in_virtual_time
async def test_a_clone_is_proven_by_its_fresh_first_packs_too(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge", topics=FRESH)
        await edge.publish("air.temperature", 1)
        await world.drained(edge)
        (entry,) = [e for e in hub.node.writer.store.packs.read(0, 9) if e.pack.stream.cls.fresh]
        key = edge.node.trust.key
        packer = Packer(entry.pack.stream, 1)
        packer.add(Message("air.temperature", Data("another")))
        raw = packer.seal(prev=None, mono_ms=0, wall_ms=None, uncertainty_ms=None, key=key, mesh=edge.mesh)
        other = unseal(raw, key.public, edge.mesh)
        store = hub.node.writer.store
        (intake,) = store.database.transact([lambda: store.journal.take_in([Incoming(other, 0)], 1)])
        assert isinstance(intake, Intake)
        assert [held.chain_hash for _, held in intake.forks] == [entry.pack.chain_hash]
        assert intake.messages == 0


@in_virtual_time
async def test_retention_takes_the_data_and_leaves_the_duplicate_filter(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub(journal=JournalSection(keep_for_s=60.0))
        edge = await world.member(hub, "edge", topics=FRESH)
        for start in range(0, 1_000, 100):
            await edge.publish("air.temperature", *(f"{n:040}" for n in range(start, start + 100)))
        await world.drained(edge)
        await asyncio.sleep(600)
        assert hub.node.writer.store.packs.count < 3, "it was let go of"
        await hub.kill()
        await hub.start()
        (row,) = [row for row in hub.node.writer.store.streams if row.stream.cls.fresh]
        assert row.spans.held == 1_000
