"""Topics of which only the newest value matters: durable, replaced without a trace, numbered when they are sent."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from kos_edge.agents.port import Fate
from kos_edge.cli.demo.ledger import Ledger
from kos_edge.errors import Unavailable
from kos_edge.node import reporting
from kos_edge.node.config import TopicRule
from kos_edge.node.sections import QueueSection
from kos_edge.testing import in_virtual_time
from tests.node.test_full_disk import full_disk
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

RULES = (TopicRule("door.#", {"keep": "latest"}), TopicRule("alarm.#", {"keep": "latest", "ttl_s": 60}))


async def edge_of(world: World, hub: Machine, **queue: object) -> Machine:
    """A member that keeps the newest value of its doors only."""
    section = replace(QueueSection(), **queue)  # type: ignore[arg-type]
    return await world.member(hub, "edge", queue=section, topics=RULES)


@in_virtual_time
async def test_only_the_newest_value_is_sent_and_nothing_is_missed(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await edge_of(world, hub)
        world.isolate(edge)
        await asyncio.sleep(1)
        for value in range(10):
            ids = await edge.publish("door.front", value)
        await edge.publish("door.back", "shut")
        assert ids == ["latest:door.front"]
        assert edge.node.bus.fate(ids[0]) is Fate.QUEUED
        await edge.publish("air.temperature", 21)
        world.network.heal()
        await world.until(lambda: not len(edge.node.writer.store.latest))
        await world.drained(edge)
        values = await hub.values()
        assert values[-1] == "shut" or 9 in values
        assert {9, "shut", 21} <= set(values)
        assert len(values) <= 4, "one may have been numbered before the link was known to be dead"
        assert not [line async for line in hub.operations.export() if line["type"] == "tombstone"]
        ledger = await world.ledger([edge], hub)
        assert ledger == Ledger(len(values), len(values), 0, 0, 0, 0, 0)


@in_virtual_time
async def test_a_value_is_durable_before_it_counts_and_survives_a_kill(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await edge_of(world, hub)
        world.isolate(edge)
        await edge.stop()
        await edge.start()
        await edge.publish("door.front", "open")
        await edge.publish("door.front", "shut")
        assert (await reporting.queue(edge.node))["latest"] == 1
        assert edge.node.writer.store.outbox.usage.messages == 0
        await edge.kill()
        await edge.start(peers=[hub])
        world.network.heal()
        await world.until(lambda: hub.node.inbound.counters["messages"])
        await world.drained(edge)
        assert await hub.values() == ["shut"]
        assert (await reporting.queue(edge.node))["latest"] == 0


@in_virtual_time
@pytest.mark.parametrize(("off_s", "arrives"), [(20, True), (3_600, False)])
async def test_its_time_to_live_runs_while_the_power_is_off(
    tmp_path: Path, off_s: float, arrives: bool
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await edge_of(world, hub)
        world.isolate(edge)
        await edge.stop()
        await edge.start()
        await edge.publish("alarm.front", "open")
        await edge.kill()
        await asyncio.sleep(off_s)
        world.network.heal()
        await edge.start(peers=[hub])
        await edge.publish("door.front", "shut")
        await world.until(lambda: not len(edge.node.writer.store.latest))
        await world.drained(edge)
        assert await hub.values() == ["open"] * arrives + ["shut"]


@in_virtual_time
async def test_while_one_is_under_way_the_next_ones_replace_each_other(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await edge_of(world, hub)
        await edge.publish("door.front", 0)
        await world.until(lambda: hub.node.inbound.counters["messages"] == 1)
        world.isolate(edge)
        for value in range(1, 50):
            await edge.publish("door.front", value)
            await asyncio.sleep(0.1)
        store = edge.node.writer.store
        assert (store.outbox.usage.messages, len(store.latest)) == (1, 1)
        world.network.heal()
        await world.until(lambda: not len(store.latest))
        await world.drained(edge)
        values = await hub.values()
        assert (values[0], values[-1], len(values)) == (0, 49, 3)


@in_virtual_time
async def test_a_value_that_takes_a_place_needs_no_room_and_a_new_topic_does(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await edge_of(world, hub, max_messages=2)
        world.isolate(edge)
        await edge.stop()
        await edge.start()
        await edge.publish("air.temperature", 1)
        for value in range(5):
            await edge.publish("door.front", value)
        with pytest.raises(Unavailable, match="the queue is full"):
            await edge.publish("door.back", 1)


@in_virtual_time
async def test_a_new_topic_takes_the_place_of_the_oldest_where_those_may_go(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await edge_of(world, hub, max_messages=3, when_full="drop-oldest")
        world.isolate(edge)
        await edge.stop()
        await edge.start()
        await edge.publish("air.temperature", 1)
        await edge.publish("air.temperature", 2)
        await edge.publish("door.front", 3)
        await edge.publish("door.back", 4)
        assert edge.node.publisher.dropped == 1
        await edge.publish("door.cellar", 5)
        with pytest.raises(Unavailable, match="the queue is full"):
            await edge.publish("door.roof", 6)  # newest values are all that waits, and none of them is old
        world.network.heal()
        await world.drained(edge)
        await world.until(lambda: not len(edge.node.writer.store.latest))
        await world.drained(edge)
        assert set(await hub.values()) == {3, 4, 5}
        gone = [line async for line in hub.operations.export() if line["type"] == "tombstone"]
        assert len(gone) == 1
        ledger = await world.ledger([edge], hub)
        assert (ledger.lost, ledger.twice) == (0, 0)


@in_virtual_time
async def test_what_is_for_this_node_itself_is_numbered_at_once(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub(topics=RULES)
        ids = await hub.publish("door.front", 1, 2)
        assert [id.rpartition(".")[2] for id in ids] == ["1", "2"]
        assert await hub.values() == [1, 2]


@in_virtual_time
async def test_a_disk_that_takes_no_number_for_it_does_not_keep_the_rest_from_being_sent(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await edge_of(world, hub)
        world.isolate(edge)
        await asyncio.sleep(200)
        await edge.publish("door.front", "open")
        await edge.publish("air.temperature", *range(20))
        with full_disk(edge.node):
            world.network.heal()
            await asyncio.sleep(60)
            assert await hub.values() == list(range(20))
        await world.until(lambda: not len(edge.node.writer.store.latest), within=60)
        await world.drained(edge)
        assert (await hub.values())[-1] == "open"
