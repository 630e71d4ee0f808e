"""Two devices with one key: what both have signed proves it, everybody hears of it, and nothing is lost meanwhile."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

import pytest

from kos_edge.errors import Refused
from kos_edge.node.keyfile import read_key
from kos_edge.node.rekey import rekey
from kos_edge.node.statedir import KEY_NAME, copy_of
from kos_edge.store import contradictions
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


async def quarantined(world: World) -> tuple[Machine, Machine, int]:
    """A hub, an edge that was shut out with its twin, and how many values the edge has had accepted: 1 to that."""
    hub = await world.hub()
    edge = await world.member(hub, "edge")
    await edge.publish("air.temperature", 1, 2)
    await world.drained(edge)
    twin = await twin_of(world, edge)
    await twin.start()
    number = 2
    while edge.kid not in hub.node.trust.forks:
        assert number < 100
        number += 1
        await twin.publish("air.temperature", f"twin {number}")
        await edge.publish("air.temperature", number)
        await asyncio.sleep(5)
    await edge.publish("air.temperature", number + 1)
    return hub, edge, number + 1


@in_virtual_time
async def test_the_right_one_goes_on_with_a_new_key_and_what_it_owed_arrives_once(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub, edge, last = await quarantined(world)
        old = edge.kid
        token = (await hub.operations.invite(replaces="edge"))["token"]
        await edge.stop()
        report = rekey(edge.state, token)
        assert report["old"].endswith(old.hex())
        for path in (edge.state / KEY_NAME, copy_of(edge.state / KEY_NAME)):
            assert read_key(path).kid != old, "no copy of the old key is fallen back to"
        await edge.start()
        await world.until(lambda: edge.node.trust.is_member)
        assert edge.membership.name == "edge"
        assert edge.membership.former == (old,)
        await edge.publish("air.temperature", last + 1)
        await world.drained(edge)
        assert [value for value in await hub.values() if isinstance(value, int)] == list(range(1, last + 2))
        assert hub.node.trust.revocations.is_revoked(old)
        assert old not in hub.node.trust.forks, "it is revoked: the proof is needed no more"
        standing = {peer["kid"][-32:]: peer["standing"] for peer in await hub.operations.peers()}
        assert standing == {old.hex(): "revoked", edge.kid.hex(): "member"}
        await world.settled()
        assert not sessions_with(hub, old), "the other one stays outside"
        assert await edge.operations.peers() != []
        await edge.kill()
        await edge.start()
        await edge.publish("air.temperature", last + 2)
        await world.drained(edge)
        assert (await hub.values())[-1] == last + 2


@in_virtual_time
async def test_what_the_hub_had_of_the_old_key_without_a_receipt_is_not_sent_again(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await edge.publish("air.temperature", 1)
        await world.until(lambda: hub.node.inbound.counters["messages"] == 1)
        await edge.kill()
        token = (await hub.operations.invite(replaces="edge"))["token"]
        await edge.start()
        await edge.kill()
        rekey(edge.state, token)
        await edge.start()
        await world.until(lambda: edge.linked(hub))
        await edge.publish("air.temperature", 3)
        await world.drained(edge)
        assert (await hub.values())[-1] == 3
        assert (await hub.values()).count(1) == 1


@in_virtual_time
async def test_two_that_were_copied_before_they_ever_sent_anything_are_found_in_minutes(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        twin = await twin_of(world, edge)
        await twin.start()
        await world.settled()
        for number in range(40):
            await edge.publish("air.temperature", number)
            await twin.publish("air.temperature", -number)
            await asyncio.sleep(10)
            if edge.kid in hub.node.trust.forks:
                break
        assert edge.kid in hub.node.trust.forks


@in_virtual_time
async def test_a_token_for_another_device_s_place_is_no_way_back_for_the_old_key(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub, edge, _ = await quarantined(world)
        token = (await hub.operations.invite(replaces="edge"))["token"]
        await edge.operations.leave()
        with pytest.raises(Refused, match="quarantine"):
            await edge.operations.join(token=token)


@in_virtual_time
async def test_a_fork_that_nobody_can_show_any_more_wedges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contradictions, "LOOKED_THROUGH", 0)
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await edge.publish("air.temperature", 1)
        await world.drained(edge)
        twin = await twin_of(world, edge)
        await edge.kill()
        for machine in (edge, twin):  # the same lot for both: they open one and the same epoch
            machine._random = random.Random("one lot").randbytes
        world.isolate(edge)
        await edge.start()
        await edge.publish("air.temperature", 2, 3)
        await twin.start()
        await twin.publish("air.temperature", 4)
        await world.drained(twin)
        await twin.stop()
        world.network.heal()
        await edge.publish("air.temperature", 5)
        await world.drained(edge)
        assert sorted(await hub.values(), key=str) == [1, 2, 3, 4, 5]
        await edge.kill()
        await edge.start()
        await edge.publish("air.temperature", 6)
        await world.drained(edge)
        assert edge.kid not in hub.node.trust.forks, "it has signed nothing that speaks against itself"


def sessions_with(machine: Machine, kid: bytes) -> int:
    return sum(getattr(session.peer, "kid", None) == kid for session in machine.node.endpoint.sessions)
