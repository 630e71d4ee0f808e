"""Beside row R08, where the receiver is killed: a sender that is killed with a backlog, on the same bad network."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kos_edge.testing import in_virtual_time
from tests.faults.r08_bad_network import BAD, load
from tests.node.world import World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

SEEDS = range(5)


def exact(ledger: object, accepted: int) -> None:
    assert str(ledger) == (
        f"Ledger(accepted={accepted}, delivered={accepted}, lost=0, twice=0, out_of_order=0, altered=0, "
        "unaccounted=0, dropped=0)"
    )


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
