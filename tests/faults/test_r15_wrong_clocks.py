"""R15: clocks that jump by 400 days either way, and boots in 1970: no storm, no refusal, nothing lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kos_edge.klp.pack import Position
from kos_edge.testing import in_virtual_time
from kos_edge.testing.loop import EPOCH
from kos_edge.transport.faults import Faults
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

DAYS_400 = 400 * 86_400.0
TO_1970 = -EPOCH
JUMPS = {"ahead": DAYS_400, "back": -DAYS_400, "to 1970": TO_1970}


def handshakes(*machines: Machine) -> list[tuple[int, int]]:
    return [(m.handshakes, m.node.handshakes.failed) for m in machines]


@pytest.mark.parametrize("who", ["hub", "edge", "both"])
@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_jumps_ends_no_session_and_begins_none(jump: str, who: str, tmp_path: Path) -> None:
    @in_virtual_time
    async def story() -> None:
        async with World(tmp_path, faults=Faults(delay=0.01)) as world:
            hub = await world.hub()
            edge = await world.member(hub, "edge")
            await world.settled()
            before, traffic = handshakes(hub, edge), world.network.traffic.datagrams
            for _ in range(5):
                for machine in {"hub": [hub], "edge": [edge], "both": [hub, edge]}[who]:
                    machine.clock.step_wall(JUMPS[jump])
                await edge.publish("air.temperature", 1)
                await asyncio.sleep(120)
                for machine in {"hub": [hub], "edge": [edge], "both": [hub, edge]}[who]:
                    machine.clock.step_wall(-JUMPS[jump])
                await edge.publish("air.temperature", 2)
                await asyncio.sleep(120)
            assert handshakes(hub, edge) == before
            assert hub.linked(edge)
            assert edge.linked(hub)
            assert world.network.traffic.datagrams - traffic < 400, "keep-alives and receipts, no storm"
            assert await hub.values() == [1, 2] * 5

    story()


@pytest.mark.parametrize("who", ["hub", "edge", "both"])
@pytest.mark.parametrize("jump", JUMPS)
def test_a_valid_peer_is_let_in_whatever_the_clocks_say(jump: str, who: str, tmp_path: Path) -> None:
    @in_virtual_time
    async def story() -> None:
        async with World(tmp_path, faults=Faults(delay=0.01)) as world:
            hub = await world.hub()
            edge = await world.member(hub, "edge")
            await edge.publish("air.temperature", 0)
            for number, step in enumerate((JUMPS[jump], -JUMPS[jump]), start=1):
                for machine in (hub, edge):
                    await machine.kill()
                for machine in {"hub": [hub], "edge": [edge], "both": [hub, edge]}[who]:
                    machine.clock.step_wall(step)
                for machine in (hub, edge):
                    await machine.start()
                await world.until(lambda: edge.linked(hub) and hub.linked(edge), within=10)
                await edge.publish("air.temperature", number)
                await world.drained(edge, within=10)
                assert hub.handshakes <= 3, "one each way, and one for a renewed membership"
                assert not hub.node.handshakes.failed + edge.node.handshakes.failed
            assert await hub.values() == [0, 1, 2]

    story()


@in_virtual_time
async def test_a_boot_in_1970_joins_publishes_without_a_time_and_has_one_when_the_clock_is_set(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = world.machine("edge")
        edge.clock.step_wall(TO_1970)
        await edge.start(peers=[hub])
        await world.join(edge, hub)
        await edge.publish("air.temperature", 1)
        await world.drained(edge)
        edge.clock.step_wall(-TO_1970)
        await edge.publish("air.temperature", 2)
        await world.drained(edge)
        heard = [heard async for heard in hub.node.feed.messages(0, follow=False)]
        assert heard[0].delivery.at is None
        assert heard[1].delivery.at == pytest.approx(edge.clock.wall(), abs=5)
        warnings = (await edge.operations.status())["warnings"]
        assert not any("clock" in warning for warning in warnings)


@in_virtual_time
async def test_a_hub_that_booted_in_1970_admits_receives_and_revokes(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = world.machine("hub", "hub")
        hub.clock.step_wall(TO_1970)
        await hub.start()
        edge = await world.member(hub, "edge")
        await edge.publish("air.temperature", 1)
        await world.drained(edge)
        assert any("clock" in warning for warning in (await hub.operations.status())["warnings"])
        await hub.operations.revoke(who="edge")
        await asyncio.sleep(30)
        assert not hub.linked(edge)
        assert await hub.values() == [1]


@in_virtual_time
async def test_order_and_epochs_do_not_follow_the_clock(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await hub.stop()
        for step in (DAYS_400, -2 * DAYS_400, TO_1970, 3 * DAYS_400):
            edge.clock.step_wall(step)
            await edge.publish("air.temperature", *range(5))
            await edge.kill()
            await edge.start()
        await hub.start()
        await world.drained(edge)
        assert await hub.received() == edge.acknowledged
        epochs = [Position.parse(id).stream.epoch >> 32 for id in edge.acknowledged]
        assert epochs == sorted(epochs)


@in_virtual_time
async def test_the_wall_clock_ages_nothing_within_one_start(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        world.isolate(edge)
        await edge.operations.publish(topic="air.temperature", values=[1], ttl_s=600)
        for step in (DAYS_400, -2 * DAYS_400):
            edge.clock.step_wall(step)
            await asyncio.sleep(60)
        world.network.heal()
        await world.drained(edge)
        assert await hub.values() == [1]


@in_virtual_time
async def test_a_clock_that_was_wrong_for_an_hour_has_cost_the_hub_nothing_of_its_journal(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        for number in range(20):
            await edge.publish("air.temperature", number)
        await world.drained(edge)
        for step in (DAYS_400, -DAYS_400, TO_1970, -TO_1970, DAYS_400):
            hub.clock.step_wall(step)
            await asyncio.sleep(3600)
            await hub.kill()  # what the start before had read is gone
            await hub.start()
            assert await hub.received() == edge.acknowledged
