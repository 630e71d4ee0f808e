"""Two hubs that an edge serves both: what one has and the other never got keeps nothing from the other."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from kos_edge.delivery.wire import MAX_RANGES
from kos_edge.node.authority import make_hub
from kos_edge.node.config import TopicRule
from kos_edge.node.initialize import RECOVERY_NAME
from kos_edge.store.journal import Incoming
from kos_edge.testing import in_virtual_time
from kos_edge.transport.faults import Faults
from tests.node.test_dead_hub import SECRET
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

FRESH = (TopicRule("air.#", {"order": "fresh-first", "audience": "hub"}),)
SLOW = Faults(delay=0.01, rate=2_000)


async def second_hub(world: World, hub: Machine) -> Machine:
    """Another hub of the same mesh, that has met the first."""
    second = world.machine("attic", "hub")
    shutil.rmtree(second.state)
    make_hub(second.state, "attic", (hub.state / RECOVERY_NAME).read_bytes(), SECRET)
    await second.start(peers=[hub])
    return second


async def serve_both(world: World, edge: Machine, hub: Machine, attic: Machine) -> None:
    await edge.stop()
    await edge.start(peers=[hub, attic])
    await world.until(lambda: edge.linked(hub, attic) and attic.linked(edge))


@in_virtual_time
async def test_a_hub_that_was_left_far_behind_takes_over_from_the_one_that_died(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        attic = await second_hub(world, hub)
        await serve_both(world, edge, hub, attic)
        await edge.publish("air.temperature", "first")
        await world.until(lambda: attic.node.inbound.counters["messages"] == 1)
        world.network.set_faults(edge.address, attic.address, SLOW)
        for start in range(0, 30_000, 500):
            await edge.publish("air.temperature", *range(start, start + 500))
        await world.drained(edge)
        world.network.set_faults(edge.address, attic.address, None)
        handshakes = edge.handshakes
        await edge.publish("air.temperature", "next")
        await hub.stop()
        await edge.publish("air.temperature", "last")
        await world.drained(edge)
        assert (await attic.values())[-1] == "last"
        assert len(await attic.values()) < 30_000, "it was left behind"
        assert edge.handshakes == handshakes, "in the same session"


@in_virtual_time
async def test_a_hub_that_has_as_many_runs_of_a_stream_as_it_keeps_takes_what_is_newer(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge", topics=FRESH)
        attic = await second_hub(world, hub)
        await serve_both(world, edge, hub, attic)
        await attic.stop()
        for value in range(2 * MAX_RANGES + 2):
            await edge.publish("air.temperature", value)
        await world.drained(edge)
        packs = await edge.node.writer.read(lambda store: store.packs.read(0, 1_000))
        await attic.start(peers=[hub])
        some = [Incoming(entry.pack, 0) for entry in packs[: 2 * MAX_RANGES : 2]]
        await attic.node.writer.run(lambda store: store.journal.take_in(some, 1))
        await world.until(lambda: edge.linked(attic))
        await edge.publish("air.temperature", "next")
        await asyncio.sleep(10)
        await hub.stop()
        await edge.publish("air.temperature", "last")
        await world.drained(edge)
        assert (await attic.values())[-1] == "last"
