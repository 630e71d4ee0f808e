from __future__ import annotations

from pathlib import Path

import pytest

from kos_edge.discovery.sighting import Working
from kos_edge.testing.loop import run_virtual
from tests.node.world import World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


def test_an_edge_on_other_interfaces_meets_its_hub_anew_and_a_hub_does_not_storm_its_edges(
    tmp_path: Path,
) -> None:
    async def play() -> None:
        async with World(tmp_path) as world:
            hub = await world.hub()
            edge = await world.member(hub, "edge")
            await world.until(lambda: edge.linked(hub) and hub.linked(edge), within=10.0)
            before = (edge.node.handshakes.succeeded, hub.node.handshakes.succeeded)
            for machine in (hub, edge):
                machine.node.peers.heard(Working(("eth1",)))
            await world.until(lambda: edge.node.handshakes.succeeded == before[0] + 1, within=2.0)
            assert edge.linked(hub)
            assert hub.node.handshakes.succeeded == before[1]

    run_virtual(play())
