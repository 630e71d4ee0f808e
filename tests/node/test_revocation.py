"""A revoked key: its sessions end at once, everywhere that hears of it, with the hub or without."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kos_edge.agents.port import Delivery
from kos_edge.errors import Refused
from kos_edge.testing import in_virtual_time
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


def sessions_with(machine: Machine, kid: bytes) -> int:
    return sum(getattr(session.peer, "kid", None) == kid for session in machine.node.endpoint.sessions)


@in_virtual_time
async def test_revoking_ends_the_session_at_once_and_no_new_one_begins(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await edge.publish("air.temperature", 1.0)
        await world.drained(edge)
        report = await hub.operations.revoke(who="edge", reason="stolen")
        assert (report["name"], report["number"]) == ("edge", 1)
        assert sessions_with(hub, edge.kid) == 0
        before = world.network.traffic.datagrams
        await edge.publish("air.temperature", 2.0)
        await asyncio.sleep(120)
        assert not hub.linked(edge)
        assert sessions_with(hub, edge.kid) == 0
        assert await hub.values() == [1.0]
        assert edge.node.writer.store.outbox.usage.messages == 1, "what it had accepted it keeps"
        assert world.network.traffic.datagrams - before < 400, "it asks again, with pauses"
        (shown,) = await hub.operations.peers()
        assert shown["standing"] == "revoked"


@in_virtual_time
async def test_it_stays_revoked_after_the_hub_was_killed(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await hub.operations.revoke(who="edge")
        await hub.kill()
        await hub.start()
        await asyncio.sleep(60)
        assert not hub.linked(edge)
        with pytest.raises(Refused, match="revoked"):
            await hub.operations.allow(public=edge.node.trust.key.public.hex())


@in_virtual_time
async def test_a_connected_member_hears_of_it_at_once_and_cuts_the_link_too(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        thief = await world.member(hub, "thief")
        north = await world.member(hub, "north")
        await north.stop()
        await north.start(peers=[hub, thief])
        await world.until(lambda: north.linked(hub, thief))
        await hub.operations.revoke(who="thief")
        took = await world.until(lambda: sessions_with(north, thief.kid) == 0)
        assert took < 1.0
        await asyncio.sleep(60)
        assert not north.linked(thief)


@in_virtual_time
async def test_it_travels_from_member_to_member_with_the_hub_gone(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        thief = await world.member(hub, "thief")
        north = await world.member(hub, "north")
        south = await world.member(hub, "south")
        await south.stop()
        await south.start(peers=[hub, thief])
        await world.until(lambda: south.linked(thief))
        world.network.partition(hub.address, south.address)
        await hub.operations.revoke(who="thief")
        await world.until(lambda: north.node.trust.revocations.is_revoked(thief.kid))
        assert south.linked(thief), "nobody has told it yet"
        await hub.stop()
        await north.stop()
        await north.start(peers=[hub, south])
        await world.until(lambda: sessions_with(south, thief.kid) == 0)
        await asyncio.sleep(60)
        assert not south.linked(thief)
        await south.kill()
        await south.start()
        await asyncio.sleep(30)
        assert south.node.trust.revocations.is_revoked(thief.kid)
        assert not south.linked(thief)


@in_virtual_time
async def test_a_key_that_never_came_can_be_allowed_and_then_revoked(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = world.machine("edge")
        await edge.start(peers=[hub])
        edge.node.peers.heard(world.sighting(hub))
        await hub.operations.allow(public=edge.node.trust.key.public.hex())
        await edge.operations.join(mesh=hub.mesh.hex())
        await world.until(lambda: hub.linked(edge))
        await hub.operations.revoke(who=edge.kid.hex()[:10])
        assert sessions_with(hub, edge.kid) == 0
        await edge.operations.leave()
        with pytest.raises(Refused, match="revoked"):
            await edge.operations.join(mesh=hub.mesh.hex())


@in_virtual_time
async def test_a_revocation_that_was_not_heard_is_told_again_in_the_same_session(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        thief, north = await world.member(hub, "thief"), await world.member(hub, "north")
        await world.settled()
        handshakes = north.handshakes
        world.network.partition(hub.address, north.address)
        await hub.operations.revoke(who="thief")
        await asyncio.sleep(10)  # the first telling has gone unheard
        world.network.heal()
        await world.until(lambda: north.node.trust.revocations.is_revoked(thief.kid), within=10)
        assert north.handshakes == handshakes


@in_virtual_time
async def test_what_agents_do_not_get_any_more_of_a_revoked_key_is_said_once_and_still_exported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        heard: list[str] = []

        async def hear(delivery: Delivery) -> None:
            heard.append(delivery.topic)

        before = hub.node.bus.subscribe("#", hear, name="late")
        await asyncio.sleep(1)
        await before.close()
        await edge.publish("air.temperature", 1.0, 2.0)
        await world.drained(edge)
        await hub.operations.revoke(who="edge")
        late = hub.node.bus.subscribe("#", hear, name="late")
        await asyncio.sleep(5)
        await late.close()
        assert heard == []
        said = [record.message for record in caplog.records if "agents get nothing more" in record.message]
        assert said == ["agents get nothing more from edge: kos-edge export has it"]
        assert [each["body"] async for each in hub.operations.export()] == [1.0, 2.0]
