"""Two devices with one key: what both have signed proves it, everybody hears of it, and nothing is lost meanwhile."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kos_edge.testing import in_virtual_time
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


async def twin_of(world: World, machine: Machine) -> Machine:
    """A second computer with a copy of its card, which is not started; the first runs again."""
    await machine.kill()
    twin = world.machine(f"{machine.name}-twin")
    shutil.rmtree(twin.state)
    shutil.copytree(machine.state, twin.state)
    twin.config = machine.config
    await machine.start()
    return twin


@in_virtual_time
async def test_a_twin_is_quarantined_everywhere_when_both_have_been_live(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        other = await world.member(hub, "other")
        await edge.publish("air.temperature", 1, 2)
        await world.drained(edge)
        twin = await twin_of(world, edge)
        await edge.publish("air.temperature", 3)
        await world.drained(edge)
        await twin.start()
        await twin.publish("air.temperature", 4)
        await world.drained(twin)
        await edge.publish("air.temperature", 5)
        await world.until(lambda: edge.kid in hub.node.trust.forks)
        await world.until(lambda: edge.kid in other.node.trust.forks)
        await world.until(lambda: not hub.linked(edge))
        assert await hub.values() == [1, 2, 3, 4]
        assert edge.node.writer.store.outbox.usage.messages == 1, "what it had accepted it keeps"
        report = next(peer for peer in await hub.operations.peers() if peer["name"] == "edge")
        assert report["standing"] == "quarantined"
        status = await hub.operations.status()
        assert any("a clone or a restored card" in text for text in status["warnings"])
        await world.settled()
        assert not hub.linked(edge)
        await world.until(lambda: _complains(edge))
        await hub.kill()
        await hub.start()
        await world.settled()
        assert edge.kid in hub.node.trust.forks
        assert not hub.linked(edge)


def _complains(machine: Machine) -> bool:
    return any("quarantine" in text for text in machine.node.peers.complaints())


@in_virtual_time
async def test_two_that_started_from_one_copy_without_a_hub_prove_it_at_once(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await edge.publish("air.temperature", 1)
        await world.drained(edge)
        twin = await twin_of(world, edge)
        await hub.stop()
        await edge.publish("air.temperature", 2)
        await twin.start()
        await twin.publish("air.temperature", 3)
        await edge.kill()
        await hub.start()
        await world.drained(twin)
        await edge.start()
        await edge.publish("air.temperature", 4)
        await world.drained(edge)
        assert sorted(await hub.values(), key=str) == [1, 2, 3, 4], "one after the other they only jumped"
        await twin.publish("air.temperature", 5)
        await world.until(lambda: edge.kid in hub.node.trust.forks)
