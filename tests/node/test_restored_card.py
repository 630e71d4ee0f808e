"""A card that was put back from a copy: the node finds itself behind its peers, jumps ahead, says so, loses nothing."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

import pytest

from kos_edge.delivery.position import KEPT_EPOCHS
from kos_edge.klp.pack import Boundary, Position
from kos_edge.node.numbering import MAX_JUMPS
from kos_edge.testing import in_virtual_time
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


async def copied(machine: Machine) -> Path:
    """A copy of its card, made while it was switched off; it runs again."""
    await machine.kill()
    copy = machine.state.with_name(f"{machine.name}.copy")
    shutil.copytree(machine.state, copy)
    await machine.start()
    return copy


async def put_back(machine: Machine, copy: Path) -> None:
    """It is switched off, and its card is written anew from the copy."""
    await machine.kill()
    shutil.rmtree(machine.state)
    shutil.copytree(copy, machine.state)


@in_virtual_time
async def test_it_jumps_above_everything_that_the_hub_holds_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await edge.publish("air.temperature", 1, 2)
        await world.drained(edge)
        copy = await copied(edge)
        (last,) = await edge.publish("air.temperature", 3)
        await world.drained(edge)
        await put_back(edge, copy)
        with caplog.at_level(logging.WARNING):
            await edge.start()
            (ident,) = await edge.publish("air.temperature", 4)
            await world.drained(edge)
        assert await hub.values() == [1, 2, 3, 4]
        assert edge.node.numbering.jumps == 1
        assert "put back from a copy" in caplog.text
        status = await edge.operations.status()
        assert any("put back from a copy" in text for text in status["warnings"])
        assert status["traffic"]["jumps"] == 1
        before = Position.parse(last).stream.epoch
        pack = hub.node.writer.store.packs.read(0, 100)[-1].pack
        assert pack.stream.epoch > before
        assert isinstance(pack.prev, Boundary), "it goes on from what the hub holds"
        assert pack.prev.epoch == before
        assert ident != "", "it was accepted"


@in_virtual_time
async def test_what_it_had_accepted_before_it_knew_arrives_once(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await edge.publish("air.temperature", 1, 2)
        await world.drained(edge)
        copy = await copied(edge)
        await edge.publish("air.temperature", 3, 4)
        await world.drained(edge)
        await put_back(edge, copy)
        world.isolate(edge)
        for value in (5, 6, 7):
            await edge.start()
            await edge.publish("air.temperature", value)
            await edge.kill()
        await edge.start()
        await edge.publish("air.temperature", 8)
        world.network.heal()
        await world.drained(edge)
        assert await hub.values() == [1, 2, 3, 4, 5, 6, 7, 8]
        assert len(set(await hub.received())) == 8
        await edge.kill()
        await edge.start()
        await edge.publish("air.temperature", 9)
        await world.drained(edge)
        assert (await hub.values())[-1] == 9
        assert edge.node.numbering.jumps == 0, "it is not behind any more"


@in_virtual_time
async def test_a_backlog_from_before_the_copy_is_not_delivered_twice(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await hub.stop()
        await edge.publish("air.temperature", *range(50))
        copy = await copied(edge)
        await hub.start()
        await edge.publish("air.temperature", 50)
        await world.drained(edge)
        await put_back(edge, copy)
        await edge.start()
        await edge.publish("air.temperature", 51)
        await world.drained(edge)
        assert await hub.values() == list(range(52))


@in_virtual_time
async def test_what_it_accepts_in_an_epoch_that_the_hub_takes_for_long_over_arrives_too(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await edge.publish("air.temperature", 1)
        await world.drained(edge)
        copy = await copied(edge)
        for value in range(2, 2 + 2 * KEPT_EPOCHS):
            await edge.publish("air.temperature", value)
            await world.drained(edge)
            await edge.kill()
            await edge.start()
        own = (hub.kid,)
        await asyncio.sleep(61)  # by then no cursor on disk holds retention up
        await hub.node.writer.run(lambda store: store.journal.prune(2**60, 0, 1, own, 1_000))
        assert await hub.node.writer.run(lambda store: store.journal.forget_old_epochs()) > 0
        await edge.kill()
        shutil.rmtree(edge.state)
        shutil.copytree(copy, edge.state)
        world.isolate(edge)
        for value in (100, 101):
            await edge.start()
            await edge.publish("air.temperature", value)
            await edge.kill()
        world.network.heal()
        await edge.start()
        await edge.publish("air.temperature", 102)
        await world.drained(edge)
        assert (await hub.values())[-3:] == [100, 101, 102]


@in_virtual_time
async def test_it_notices_without_owing_anything(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        copy = await copied(edge)
        await edge.publish("air.temperature", 1)
        await world.drained(edge)
        await put_back(edge, copy)
        await edge.start()
        await world.until(lambda: edge.node.numbering.jumps == 1)


@in_virtual_time
async def test_a_hub_that_refuses_every_place_uses_no_epochs_up_and_costs_no_message(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        peer = hub.node.trust.membership
        assert peer is not None
        await hub.kill()
        await edge.publish("air.temperature", 1, 2)
        outbox = edge.node.writer.store.outbox
        begun = outbox.epoch >> 32
        for _ in range(3 * MAX_JUMPS):
            (owed,) = outbox.owed()
            await edge.node.numbering.leave_behind(peer, owed.stream)
        assert (outbox.epoch >> 32) - begun == edge.node.numbering.jumps == MAX_JUMPS
        assert any("has refused" in text for text in (await edge.operations.status())["warnings"])
        await hub.start()
        await world.drained(edge)
        assert await hub.values() == [1, 2]


@pytest.mark.parametrize("starts", [1, 5])
def test_a_node_that_was_only_restarted_never_jumps(starts: int, tmp_path: Path) -> None:
    @in_virtual_time
    async def story() -> None:
        async with World(tmp_path) as world:
            hub = await world.hub()
            edge = await world.member(hub, "edge")
            for start in range(starts):
                await edge.publish("air.temperature", start)
                await edge.kill()
                await hub.kill()
                await hub.start()
                await edge.start()
                await world.until(lambda: edge.linked(hub))
            await world.drained(edge)
            assert edge.node.numbering.jumps == hub.node.numbering.jumps == 0
            assert await hub.values() == list(range(starts))

    story()
