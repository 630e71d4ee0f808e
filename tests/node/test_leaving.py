"""A node leaves its mesh with something still owed, and joins another."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from kos_edge.agents.port import Delivery
from kos_edge.control.letter_reports import DeadLetter
from kos_edge.delivery.limits import Amount
from kos_edge.errors import Refused, Unavailable
from kos_edge.klp.body import Data
from kos_edge.klp.pack import prepare_all
from kos_edge.node.accepted import Again
from kos_edge.node.config import TopicRule
from kos_edge.node.publisher import _based, _Waiting
from kos_edge.node.sections import QueueSection
from kos_edge.said import Said
from kos_edge.store.outbox import Stamp
from kos_edge.testing import in_virtual_time
from kos_edge.testing.loop import EPOCH
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


@in_virtual_time
async def test_what_was_owed_to_the_mesh_that_was_left_is_a_dead_letter_and_in_nobodys_way(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        old, new = await world.hub("old"), await world.hub("new")
        edge = await world.member(old, "edge")
        world.isolate(old)
        (ident,) = await edge.publish("air.temperature", 1)
        await edge.operations.leave()
        assert edge.node.endpoint.sessions == []
        await world.join(edge, new)
        await world.until(lambda: edge.linked(new))
        await edge.publish("air.temperature", 2)
        await world.drained(edge, within=10)
        assert [letter["id"] async for letter in edge.operations.queue_dead()] == [ident]
        await edge.operations.queue_retry(id=ident)
        await world.drained(edge, within=10)
        assert await new.values() == [2, 1]


@in_virtual_time
async def test_the_newest_value_for_the_mesh_that_was_left_is_a_dead_letter_and_not_told_to_the_next(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        old, new = await world.hub("old"), await world.hub("new")
        edge = await world.member(old, "edge", topics=(TopicRule("door.#", {"keep": "latest"}),))
        world.isolate(old)
        await asyncio.sleep(120)
        await edge.publish("door.front", "open")
        await edge.publish("door.front", "shut")
        await edge.operations.leave()
        (letter,) = [letter async for letter in edge.operations.queue_dead()]
        assert (letter["topic"], letter["id"].startswith("latest:door.front@hub.")) == ("door.front", True)
        await world.join(edge, new)
        await world.until(lambda: edge.linked(new))
        await world.drained(edge, within=10)
        assert await new.values() == []
        await edge.operations.queue_retry(id=letter["id"])
        await world.until(lambda: not len(edge.node.writer.store.latest))
        await world.drained(edge, within=10)
        assert await new.values() == ["shut"]
        assert not [letter async for letter in edge.operations.queue_dead()]


async def letters(machine: Machine) -> list[DeadLetter]:
    return [letter async for letter in machine.operations.queue_dead()]


async def kept(machine: Machine) -> list[tuple[object, str | None]]:
    """Bodies and times in its journal."""
    return [(line["body"], line["at"]) async for line in machine.operations.export()]


async def moved(world: World, edge: Machine, hub: Machine, count: int) -> list[tuple[object, str | None]]:
    """`edge` leaves with so much still owed, said over an hour and two lives; what it was."""
    for number in range(count):
        await edge.publish("air.temperature", number)
        await asyncio.sleep(3600 / count)
        if number == count // 2:
            await edge.kill()
            await edge.start(peers=[hub])
    return await kept(edge)


@in_virtual_time
async def test_what_was_set_aside_comes_to_the_next_mesh_in_its_order_with_its_times(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with World(tmp_path) as world:
        old, new = await world.hub("old"), await world.hub("new")
        edge = await world.member(old, "edge")
        world.isolate(old)
        said = await moved(world, edge, old, 300)
        with caplog.at_level(logging.WARNING):
            report = await edge.operations.leave()
        assert report["set_aside"] == 300
        (line,) = [r for r in caplog.records if getattr(r, "kos_event", None) is Said.SET_ASIDE]
        assert line.getMessage().startswith("the mesh was left: 300 messages that it did not have yet")
        await asyncio.sleep(3600)
        assert [(letter["body"], letter["at"]) for letter in await letters(edge)] == said
        assert all(letter["died_at"] > (letter["at"] or "") for letter in await letters(edge))  # type: ignore[operator]
        await world.join(edge, new)
        parts = [part async for part in edge.operations.queue_retry_all()]
        assert parts == [
            {"retried": count, "expired": 0, "damaged": 0, "failure": None} for count in (256, 300)
        ]
        await world.drained(edge)
        assert await kept(new) == said
        assert await letters(edge) == []


def test_the_time_of_a_letter_is_the_same_to_the_millisecond_however_two_clocks_are_rounded() -> None:
    (letter,) = prepare_all("air.temperature", [Data(1)], [-7_000])
    waiting = _Waiting([letter], 1_000, Amount(1, 10), None, again=Again("x", dated=True), wall_ms=50_000)  # type: ignore[arg-type]
    (message,), base = _based([waiting], Stamp(1_003, 50_002, 1))
    assert base.wall_ms is not None
    assert base.wall_ms + message.offset_ms == 43_000


@in_virtual_time
async def test_a_retry_of_all_ends_where_the_queue_is_full_and_pushes_nothing_out(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        old, new = await world.hub("old"), await world.hub("new")
        queue = QueueSection(max_messages=30, when_full="drop-oldest")
        edge = await world.member(old, "edge", queue=queue)
        world.isolate(old)
        said = await moved(world, edge, old, 30)
        await edge.operations.leave()
        await world.join(edge, new)
        world.isolate(new)
        await edge.publish("air.temperature", *range(100, 110))
        *_, last = [part async for part in edge.operations.queue_retry_all()]
        assert last["retried"] == 20
        assert last["failure"] is not None
        assert last["failure"]["kind"] == "unavailable"
        assert [letter["body"] for letter in await letters(edge)] == list(range(20, 30))
        with pytest.raises(Unavailable, match="full"):
            await edge.operations.queue_retry(id=(await letters(edge))[0]["id"])
        world.network.heal()
        await world.drained(edge)
        assert [part["retried"] async for part in edge.operations.queue_retry_all()] == [10]
        await world.drained(edge)
        assert [line for line in await kept(new) if line in said] == said
        assert await new.values() == [*range(100, 110), *range(30)]


@in_virtual_time
async def test_only_letters_on_the_topics_that_are_asked_for_are_retried(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        old, new = await world.hub("old"), await world.hub("new")
        edge = await world.member(old, "edge")
        world.isolate(old)
        await edge.publish("air.temperature", 1)
        await edge.publish("water.level", 2)
        await edge.operations.leave()
        await world.join(edge, new)
        assert [part["retried"] async for part in edge.operations.queue_retry_all(topic="water.#")] == [1]
        assert [letter["topic"] for letter in await letters(edge)] == ["air.temperature"]


@in_virtual_time
async def test_a_letter_whose_time_nobody_knows_is_told_with_none(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        old, new = await world.hub("old"), await world.hub("new")
        edge = await world.member(old, "edge")
        world.isolate(old)
        edge.clock.step_wall(-EPOCH)
        await edge.publish("air.temperature", 1)
        edge.clock.step_wall(EPOCH)
        await edge.publish("air.temperature", 2)
        said = await kept(edge)
        assert [at is None for _, at in said] == [True, False]
        await edge.operations.leave()
        assert [(letter["body"], letter["at"]) for letter in await letters(edge)] == said
        await world.join(edge, new)
        await asyncio.sleep(60)
        assert [part["retried"] async for part in edge.operations.queue_retry_all()] == [2]
        await world.drained(edge)
        assert await kept(new) == said


@in_virtual_time
async def test_a_letter_with_a_time_waits_for_the_clock(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        old, new = await world.hub("old"), await world.hub("new")
        edge = await world.member(old, "edge")
        world.isolate(old)
        (ident,) = await edge.publish("air.temperature", 1)
        await edge.operations.leave()
        await world.join(edge, new)
        edge.clock.step_wall(-EPOCH)
        with pytest.raises(Unavailable, match="clock is not set"):
            await edge.operations.queue_retry(id=ident)
        (part,) = [part async for part in edge.operations.queue_retry_all()]
        assert (part["retried"], part["failure"] is None) == (0, False)
        edge.clock.step_wall(EPOCH)
        assert [part["retried"] async for part in edge.operations.queue_retry_all()] == [1]


@in_virtual_time
async def test_a_letter_whose_ttl_is_over_stays_one(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        old, new = await world.hub("old"), await world.hub("new")
        edge = await world.member(old, "edge")
        world.isolate(old)
        await edge.operations.publish(topic="air.temperature", values=[1], ttl_s=60)
        await edge.operations.leave()
        await world.join(edge, new)
        await asyncio.sleep(61)
        (letter,) = await letters(edge)
        with pytest.raises(Refused, match="for 60 s only"):
            await edge.operations.queue_retry(id=letter["id"])
        (part,) = [part async for part in edge.operations.queue_retry_all()]
        assert (part["retried"], part["expired"]) == (0, 1)
        assert await letters(edge) == [letter]


@in_virtual_time
async def test_a_newest_reading_that_was_set_aside_keeps_its_time(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        old, new = await world.hub("old"), await world.hub("new")
        edge = await world.member(old, "edge", topics=(TopicRule("air.#", {"keep": "latest"}),))
        world.isolate(old)
        await asyncio.sleep(120)
        await edge.operations.publish(topic="air.temperature", values=[20.5], unit="Cel")
        await edge.operations.leave()
        await asyncio.sleep(3600)
        (letter,) = await letters(edge)
        await world.join(edge, new)
        await edge.operations.queue_retry(id=letter["id"])
        await world.until(lambda: not len(edge.node.writer.store.latest))
        await world.drained(edge)
        assert await kept(new) == [(letter["body"], letter["at"])]


@in_virtual_time
async def test_what_broke_its_handler_is_said_again_with_its_own_time(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")

        async def broken(delivery: Delivery) -> None:
            raise OSError("no bus")

        subscription = hub.node.bus.subscribe("air.#", broken, name="broken")
        await world.until(lambda: bool(hub.node.feed.readers))
        (ident,) = await edge.publish("air.temperature", 1)
        await world.until(lambda: hub.node.feed.dead == 1)
        await subscription.close()
        (letter,) = await letters(hub)
        ((_, at),) = await kept(hub)
        assert (letter["id"], letter["at"]) == (ident, at)
        await asyncio.sleep(3600)
        await hub.operations.queue_retry(id=ident)
        assert await kept(hub) == [(1, at), (1, at)]
