"""Every start opens an epoch; what was accepted in any of them arrives in the order of them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from kos_edge.klp.pack import Boundary, Position
from kos_edge.testing import in_virtual_time
from kos_edge.transport.faults import Faults
from tests.node.world import World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


@in_virtual_time
async def test_a_start_on_the_same_store_opens_a_new_epoch_and_names_the_end_of_the_last(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        first = await edge.publish("air.temperature", 1, 2, 3)
        await edge.kill()
        await edge.start()
        second = await edge.publish("air.temperature", 4)
        before, after = Position.parse(first[-1]), Position.parse(second[0])
        assert after.stream.epoch >> 32 == (before.stream.epoch >> 32) + 1
        assert (before.seq, after.seq) == (3, 1)
        await world.drained(edge)
        assert await hub.values() == [1, 2, 3, 4]
        last = hub.node.writer.store.packs.read(0, 100)[-1].pack
        assert isinstance(last.prev, Boundary)
        assert (last.prev.epoch, last.prev.seq) == (before.stream.epoch, 3)


@pytest.mark.parametrize("seed", range(4))
def test_a_node_that_restarted_twenty_times_with_a_backlog_hands_it_over_in_order(
    seed: int, tmp_path: Path
) -> None:
    @in_virtual_time
    async def story() -> None:
        bad = Faults(loss=0.1, duplicate=0.1, reorder=0.3, delay=0.03)
        async with World(tmp_path, seed=seed, faults=bad) as world:
            hub = await world.hub()
            edge = await world.member(hub, "edge")
            await hub.stop()
            for start in range(20):
                await edge.publish("air.temperature", *range(start * 100, start * 100 + 60))
                await edge.kill()
                await edge.start()
            await hub.start()
            await world.drained(edge)
            assert await hub.received() == edge.acknowledged
            assert len(edge.acknowledged) == 1200

    story()


@in_virtual_time
async def test_a_hub_restarts_in_the_middle_of_a_backlog_of_many_epochs(tmp_path: Path) -> None:
    async with World(tmp_path, faults=Faults(loss=0.1, reorder=0.3, delay=0.03)) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await hub.stop()
        for start in range(10):
            await edge.publish("air.temperature", *range(start * 100, start * 100 + 100))
            await edge.kill()
            await edge.start()
        await hub.start()
        for _ in range(4):
            await world.until(lambda: hub.linked(edge))
            await hub.kill()
            await hub.start()
        await world.drained(edge)
        assert await hub.received() == edge.acknowledged
