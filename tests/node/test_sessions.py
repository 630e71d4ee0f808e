"""Sessions belong to identities: over changes of address, meetings of two handshakes, restarts of either side."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kos_edge.node.settling import RIDE_S
from kos_edge.testing import in_virtual_time
from kos_edge.transport.faults import Faults
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


async def introduced(world: World, *machines: Machine) -> None:
    """Let members know each other, and then be apart again."""
    for machine in machines:
        others = [other for other in machines if other is not machine]
        for other in others:
            machine.node.trust.learn(other.membership)
        await machine.node.save()


@pytest.mark.parametrize("seed", range(6))
def test_two_that_knock_at_each_other_at_once_end_with_one_link_each(seed: int, tmp_path: Path) -> None:
    @in_virtual_time
    async def story() -> None:
        faults = Faults(delay=0.05, jitter=0.02 * seed, loss=0.1 * (seed > 2))
        async with World(tmp_path, seed=seed, faults=faults) as world:
            hub = await world.hub()
            north, south = await world.member(hub, "north"), await world.member(hub, "south")
            await introduced(world, north, south)
            for one, other in ((north, south), (south, north)):
                await one.publish("note.x", 1, audience=f"kid:{other.kid.hex()}")
            await world.settled()
            before = north.handshakes + south.handshakes
            north.node.peers.heard(world.sighting(south))
            south.node.peers.heard(world.sighting(north))
            await world.until(lambda: north.linked(south) and south.linked(north))
            await world.settled()
            assert north.linked(south)
            assert south.linked(north)
            if not faults.loss:
                mine, theirs = (
                    one.node.peers.links[other.kid].session for one, other in ((north, south), (south, north))
                )
                assert mine.context.sender_id == theirs.recipient_id
                assert theirs.context.sender_id == mine.recipient_id
            assert north.handshakes + south.handshakes - before <= (8 if faults.loss else 4)
            for one, other in ((north, south), (south, north)):
                peers = [getattr(session.peer, "kid", None) for session in one.node.endpoint.sessions]
                assert peers.count(other.kid) <= (2 if faults.loss else 1), "what was replaced has ended"

    story()


@in_virtual_time
async def test_a_session_goes_on_when_its_owner_is_at_another_address_and_port(tmp_path: Path) -> None:
    async with World(tmp_path, faults=Faults(delay=0.01, loss=0.05)) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await world.settled()
        (session,) = hub.node.endpoint.sessions
        before = edge.handshakes
        for number, port in ((77, 5683), (78, 40_000), (79, 40_001)):
            edge.datagrams.move(f"10.0.0.{number}", port)
            await edge.publish("air.temperature", *range(20))
            await world.drained(edge)
            place = (f"10.0.0.{number}", port)
            await world.until(lambda: (session.address.host, session.address.port) == place, within=10)  # noqa: B023
        assert session.closed is None
        assert edge.handshakes == before
        assert await hub.received() == edge.acknowledged


@in_virtual_time
async def test_a_hub_that_was_killed_is_reached_again_by_one_handshake_and_nobody_notices(
    tmp_path: Path,
) -> None:
    async with World(tmp_path, faults=Faults(delay=0.01)) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await world.settled()
        before = edge.handshakes
        for _ in range(3):
            await hub.kill()
            await hub.start()
            await edge.publish("air.temperature", *range(10))
            await world.drained(edge, within=15)
        assert edge.handshakes - before == 3
        assert await hub.received() == edge.acknowledged


@in_virtual_time
async def test_a_silent_session_is_kept_alive_and_a_dead_one_is_noticed(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await world.settled()
        (session,) = edge.node.endpoint.sessions
        await asyncio.sleep(3600)
        assert session.closed is None
        assert edge.linked(hub)
        handshakes = edge.handshakes
        world.isolate(edge)
        await world.until(lambda: not edge.linked(hub), within=300)
        world.network.heal()
        await world.until(lambda: edge.linked(hub) and hub.linked(edge), within=30)
        assert edge.handshakes <= handshakes + 2, "one of each side at most: both may notice at once"


@in_virtual_time
async def test_an_edge_meets_another_device_at_the_address_of_its_hub_and_gives_it_nothing(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub, other = await world.hub(), world.machine("other", "hub")
        edge = await world.member(hub, "edge")
        await hub.stop()
        other.number = hub.number
        await other.start()
        await edge.publish("air.temperature", 1.0)
        await asyncio.sleep(120)
        assert other.node.endpoint.sessions == []
        assert await other.values() == []
        assert not edge.node.peers.links
        assert edge.node.writer.store.outbox.usage.messages == 1
        complaints = [why for _, _, why in edge.node.peers.seen().values() if why]
        assert any("mesh" in why or "another device" in why for why in complaints), complaints


@in_virtual_time
async def test_who_has_died_and_is_back_within_a_meeting_is_reached_again_at_once(tmp_path: Path) -> None:
    async with World(tmp_path, faults=Faults(delay=0.01)) as world:
        hub = await world.hub()
        north, south = await world.member(hub, "north"), await world.member(hub, "south")
        assert north.kid < south.kid, "so that south would keep the session that north has begun"
        await introduced(world, north, south)
        await world.settled()
        south.node.peers.heard(world.sighting(north))
        north.node.peers.heard(world.sighting(south))
        await north.publish("note.x", 1, audience=f"kid:{south.kid.hex()}")
        await world.drained(north)
        await north.kill()
        await north.start()
        await south.publish("note.x", 1, audience=f"kid:{north.kid.hex()}")
        await world.drained(south, within=3.0 + RIDE_S)


def test_two_members_that_find_each_other_know_each_other_by_name_from_then_on(tmp_path: Path) -> None:
    @in_virtual_time
    async def story() -> None:
        async with World(tmp_path) as world:
            hub = await world.hub()
            north = await world.member(hub, "north")
            south = await world.member(hub, "south")
            north.node.peers.heard(world.sighting(south))
            await world.until(lambda: south.kid in north.node.trust.roster)
            assert north.node.bus.audience("south") == f"kid:{south.kid.hex()}"

    story()
