"""R08: 10 % lost, 10 % duplicated, 30 % reordered, 2 % corrupted; links that flap, processes that are killed.

Whole nodes with their real stores: what each edge was told is accepted is in the hub's journal exactly once and in
order, whatever lies between. A seed that fails is the same failure again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kos_edge.klp.pack import Position
from kos_edge.testing import in_virtual_time
from kos_edge.transport.faults import Faults
from tests.node.world import Machine, World, flapping

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

BAD = Faults(loss=0.1, duplicate=0.1, reorder=0.3, corrupt=0.02, delay=0.02, jitter=0.01)
BURST, EVERY_S = 5, 0.1
SEEDS = range(5)


async def load(machine: Machine, seconds: float) -> None:
    """Readings at 50 a second, as agents would publish them."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        await machine.publish("air.temperature", *range(BURST))
        await asyncio.sleep(EVERY_S)


def of(source: Machine, ids: list[str]) -> list[str]:
    return [id for id in ids if Position.parse(id).stream.source == source.kid]


def exact(ledger: object, accepted: int) -> None:
    assert str(ledger) == (
        f"Ledger(accepted={accepted}, delivered={accepted}, lost=0, twice=0, out_of_order=0, altered=0, "
        "unaccounted=0)"
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_two_edges_lose_and_repeat_nothing_on_a_bad_network(seed: int, tmp_path: Path) -> None:
    @in_virtual_time
    async def story() -> None:
        async with World(tmp_path, seed=seed, faults=BAD) as world:
            hub = await world.hub()
            north, south = await world.member(hub, "north"), await world.member(hub, "south")
            await asyncio.gather(load(north, 10.0), load(south, 10.0))
            await world.drained(north, south)
            came = await hub.received()
            assert of(north, came) == north.acknowledged
            assert of(south, came) == south.acknowledged
            exact(await world.ledger([north, south], hub), len(north.acknowledged) + len(south.acknowledged))

    story()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_link_that_flaps_under_load_costs_nothing(seed: int, tmp_path: Path) -> None:
    @in_virtual_time
    async def story() -> None:
        async with World(tmp_path, seed=seed, faults=BAD) as world:
            hub = await world.hub()
            north = await world.member(hub, "north")
            async with flapping(world, north, up=1.5, down=1.0 + seed / 4):
                await load(north, 15.0)
            await world.drained(north)
            assert await hub.received() == north.acknowledged
            exact(await world.ledger([north], hub), len(north.acknowledged))

    story()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_receiver_that_is_killed_again_and_again_has_all_of_it_once(seed: int, tmp_path: Path) -> None:
    @in_virtual_time
    async def story() -> None:
        async with World(tmp_path, seed=seed, faults=BAD) as world:
            hub = await world.hub()
            north = await world.member(hub, "north")
            loading = asyncio.create_task(load(north, 12.0))
            for pause in (1.0, 2.7, 0.4, 3.1):
                await asyncio.sleep(pause + seed / 10)
                await hub.kill()
                await asyncio.sleep(0.3)
                await hub.start()
            await loading
            await world.drained(north)
            assert await hub.received() == north.acknowledged
            exact(await world.ledger([north], hub), len(north.acknowledged))

    story()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sender_that_is_killed_with_a_backlog_keeps_what_it_had_accepted(seed: int, tmp_path: Path) -> None:
    @in_virtual_time
    async def story() -> None:
        async with World(tmp_path, seed=seed, faults=BAD) as world:
            hub = await world.hub()
            north = await world.member(hub, "north")
            for _ in range(3):
                loading = asyncio.create_task(load(north, 10.0))
                await asyncio.sleep(1.0)
                world.isolate(north)
                await asyncio.sleep(2.0 + seed / 10)
                await north.kill()
                await asyncio.gather(loading, return_exceptions=True)
                await north.start()
                world.network.heal()
                await asyncio.sleep(0.5)
            await world.drained(north)
            came = await hub.received()
            assert len(set(came)) == len(came)
            acknowledged = set(north.acknowledged)
            assert [id for id in came if id in acknowledged] == north.acknowledged
            ledger = await world.ledger([north], hub)
            exact(ledger, ledger.accepted)
            assert ledger.accepted >= len(acknowledged)

    story()
