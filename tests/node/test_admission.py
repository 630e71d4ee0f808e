"""Who becomes a member: by a token, by a known key, by a person's decision, in an open mesh. Whole nodes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kos_edge.errors import Refused
from kos_edge.node.sections import AdmissionSection
from kos_edge.testing import in_virtual_time
from kos_edge.transport.faults import Faults
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


async def serves(world: World, edge: Machine, hub: Machine) -> bool:
    """Whether what the edge publishes arrives."""
    await world.until(lambda: edge.linked(hub))
    before = len(await hub.received())
    await edge.publish("air.temperature", 21.5)
    await world.drained(edge)
    return len(await hub.received()) == before + 1


@in_virtual_time
async def test_a_token_brings_in_one_node_and_no_second_one(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        first, second = world.machine("first"), world.machine("second")
        for machine in (first, second):
            await machine.start(peers=[hub])
        token = (await hub.operations.invite())["token"]
        report = await first.operations.join(token=token)
        assert (report["outcome"], report["name"], report["hub"]) == ("joined", "first", "hub")
        with pytest.raises(Refused, match="used up"):
            await second.operations.join(token=token)
        assert not second.node.trust.is_member
        assert second.node.trust.wish is None
        assert await serves(world, first, hub)


@in_virtual_time
async def test_a_token_for_two_brings_in_two_that_ask_for_one_name(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        token = (await hub.operations.invite(uses=2))["token"]
        names = []
        for number in (1, 2):
            machine = world.machine(f"m{number}")
            await machine.start(peers=[hub])
            machine.node.trust.name = "pump"
            names.append((await machine.operations.join(token=token))["name"])
        assert names == ["pump", "pump-2"]


@in_virtual_time
async def test_a_lost_answer_strands_nobody_the_same_token_is_good_for_the_same_key(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = world.machine("edge")
        await edge.start(peers=[hub])
        token = (await hub.operations.invite())["token"]
        said = 0

        def tap(source: object, target: object, data: bytes) -> None:
            nonlocal said
            said += str(source) == f"udp://{hub.address}:5683"
            if said == 2:  # message_4, which brings the membership
                world.isolate(edge)

        world.network.tap = tap
        report = await edge.operations.join(token=token)
        assert report["outcome"] == "waiting"
        assert edge.node.trust.roster.get(edge.kid) is None
        assert hub.node.trust.roster.get(edge.kid) is not None
        world.network.tap = None
        world.network.heal()
        await world.until(lambda: edge.node.trust.is_member)
        assert await serves(world, edge, hub)


@in_virtual_time
async def test_a_token_of_a_hub_that_is_away_is_kept_over_a_restart_and_used_when_it_is_back(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        token = (await hub.operations.invite(seconds=86_400))["token"]
        await hub.stop()
        edge = world.machine("edge")
        await edge.start()
        assert (await edge.operations.join(token=token))["outcome"] == "waiting"
        await edge.kill()
        await edge.start()
        assert edge.node.trust.wish is not None
        await hub.start()
        await world.until(lambda: edge.node.trust.is_member)
        assert await serves(world, edge, hub)


@in_virtual_time
async def test_an_expired_token_is_refused_by_elapsed_time_though_the_clock_was_put_back(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        token = (await hub.operations.invite(seconds=600))["token"]
        hub.clock.step_wall(-400 * 86_400)
        edge = world.machine("edge")
        await edge.start(peers=[hub])
        edge.clock.step_wall(-400 * 86_400)
        await world.until(lambda: edge.clock.monotonic() > 660, within=700)
        with pytest.raises(Refused, match="expired"):
            await edge.operations.join(token=token)


@in_virtual_time
async def test_a_known_key_comes_in_with_the_hash_of_the_mesh_alone(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub(admission=AdmissionSection(approval=False))
        known, unknown = world.machine("known"), world.machine("unknown")
        for machine in (known, unknown):
            await machine.start(peers=[hub])
            machine.node.peers.heard(world.sighting(hub))
        await hub.operations.allow(public=known.node.trust.key.public.hex(), name="boiler", role="relay")
        mesh = hub.mesh.hex()
        report = await known.operations.join(mesh=mesh)
        assert (report["outcome"], report["name"], report["role"]) == ("joined", "boiler", "relay")
        with pytest.raises(Refused, match="nobody without a token"):
            await unknown.operations.join(mesh=mesh)
        assert await serves(world, known, hub)


@in_virtual_time
async def test_a_person_compares_the_words_and_lets_a_newcomer_in(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = world.machine("edge")
        await edge.start(peers=[hub])
        edge.node.peers.heard(world.sighting(hub))
        report = await edge.operations.join(mesh=hub.mesh.hex())
        assert report["outcome"] == "pending"
        (waiting,) = await hub.operations.pending()
        assert waiting["words"] == report["words"] == edge.node.trust.words
        await world.until(lambda: edge.clock.monotonic() > 60)
        assert not edge.node.trust.is_member
        assert await hub.operations.pending(), "it asks again all the time, and still waits"
        await hub.operations.admit(who=waiting["words"], name="well")
        await world.until(lambda: edge.node.trust.is_member)
        assert edge.node.trust.name == "well"
        assert await hub.operations.pending() == []
        assert await serves(world, edge, hub)


@in_virtual_time
async def test_who_is_sent_away_stays_away(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = world.machine("edge")
        await edge.start(peers=[hub])
        edge.node.peers.heard(world.sighting(hub))
        await edge.operations.join(mesh=hub.mesh.hex())
        await hub.operations.reject(who="edge")
        await world.until(lambda: edge.node.trust.wish is None)
        assert not edge.node.trust.is_member
        assert await hub.operations.pending() == []
        with pytest.raises(Refused, match="turned this device away"):
            await edge.operations.join(mesh=hub.mesh.hex())


@in_virtual_time
async def test_an_open_mesh_takes_everybody(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub(admission=AdmissionSection(open=True))
        edge = world.machine("edge")
        await edge.start(peers=[hub])
        edge.node.peers.heard(world.sighting(hub))
        assert (await edge.operations.join(mesh=hub.mesh.hex()))["outcome"] == "joined"
        assert await serves(world, edge, hub)
        assert any("open" in warning for warning in (await hub.operations.status())["warnings"])


@in_virtual_time
async def test_a_hub_of_another_mesh_is_told_apart_before_anything_is_shown_to_it(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        mine, other = await world.hub("mine"), world.machine("other", "hub")
        token = (await mine.operations.invite())["token"]
        await mine.stop()
        other.number = mine.number
        await other.start()
        edge = world.machine("edge")
        await edge.start()
        with pytest.raises(Refused, match="another mesh"):
            await edge.operations.join(token=token)
        assert edge.node.trust.wish is None
        assert other.node.trust.roster.get(edge.kid) is None
        assert await other.operations.pending() == []


@in_virtual_time
async def test_another_device_at_the_address_of_the_hub_does_not_end_the_wish_to_join(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        mine, other = await world.hub("mine"), world.machine("other", "hub")
        token = (await mine.operations.invite())["token"]
        await mine.stop()
        edge = world.machine("edge")
        await edge.start()
        assert (await edge.operations.join(token=token))["outcome"] == "waiting"
        home, other.number = mine.number, mine.number
        await other.start()
        await asyncio.sleep(60)
        assert edge.node.trust.wish is not None
        mine.number = 99  # it has moved, and mDNS finds it there
        await mine.start()
        edge.node.peers.heard(world.sighting(mine))
        edge.node.enrolment.news()
        await world.until(lambda: edge.node.trust.is_member)
        assert other.number == home
        assert other.node.trust.roster.get(edge.kid) is None


@in_virtual_time
async def test_any_two_members_know_each_other_with_the_hub_gone(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        south = await world.member(hub, "south")
        north = await world.member(hub, "north")
        await hub.stop()
        await north.stop()
        await north.start(peers=[hub, south])
        await world.until(lambda: north.linked(south) and south.linked(north))
        assert north.node.trust.name_of(south.kid) == "south"
        assert south.node.trust.name_of(north.kid) == "north"


@pytest.mark.parametrize("seed", range(4))
def test_joining_gets_through_a_bad_network(seed: int, tmp_path: Path) -> None:
    @in_virtual_time
    async def story() -> None:
        bad = Faults(loss=0.2, duplicate=0.2, reorder=0.3, corrupt=0.05, delay=0.05)
        async with World(tmp_path, seed=seed, faults=bad) as world:
            hub = await world.hub()
            edge = world.machine("edge")
            await edge.start(peers=[hub])
            await world.join(edge, hub)
            member = hub.node.trust.roster.get(edge.kid)
            assert member is not None
            assert member.cwt == edge.membership.cwt
            assert await serves(world, edge, hub)

    story()
