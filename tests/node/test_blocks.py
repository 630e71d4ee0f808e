"""Blocks of messages that are handed in together."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kos_edge import Agent, Reading
from kos_edge.delivery.limits import Limit, Limits
from kos_edge.errors import Invalid, Unavailable
from kos_edge.klp.body import Data
from kos_edge.store import sql
from kos_edge.testing import in_virtual_time
from tests.node.world import World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


@in_virtual_time
async def test_a_block_gets_numbers_that_follow_each_other_and_arrives_whole(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        bus = edge.node.bus
        blocks = await asyncio.gather(
            *(bus.publish_all("soil.x", [Data(block * 100 + n) for n in range(60)]) for block in range(3))
        )
        ids = [id for block in blocks for id in block]
        numbers = [int(id.rpartition(".")[2]) for id in ids]
        assert numbers == list(range(numbers[0], numbers[0] + 180))
        await world.drained(edge)
        assert [id for id in await hub.received() if id in set(ids)] == ids


@in_virtual_time
async def test_a_block_that_breaks_a_rule_or_does_not_fit_is_refused_whole(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        publisher = edge.node.publisher
        kept = edge.node.writer.store.packs.messages()
        with pytest.raises(Invalid):
            await edge.node.bus.publish_all("soil.x", [Data(1), Data(2**70)])
        edge.node.writer.store.outbox.limits = Limits(Limit(messages=2))
        with pytest.raises(Unavailable):
            await edge.node.bus.publish_all("soil.x", [Data(1), Data(2), Data(3)])
        assert publisher.refused == 3
        await asyncio.sleep(1)
        assert edge.node.writer.store.packs.messages() == kept


@in_virtual_time
async def test_what_no_subscriber_wants_is_passed_over_and_what_comes_behind_it_is_heard(
    tmp_path: Path,
) -> None:
    heard: list[int] = []
    agent = Agent("soil")

    @agent.on("soil.wanted")
    async def note(reading: Reading) -> None:
        heard.append(reading.value)

    async with World(tmp_path) as world:
        hub = await world.hub()
        await hub.node.host.add(agent)
        edge = await world.member(hub, "edge")
        for number in range(20):
            await edge.publish("soil.other", *range(30))
            await edge.publish("soil.wanted", number)
            await hub.publish("soil.own", number)
        await world.drained(edge)
        await asyncio.sleep(5)
        assert heard == list(range(20))
        newest = hub.node.writer.store.packs.last_id
        assert {reader._done for reader in hub.node.feed.readers} == {newest}


@in_virtual_time
async def test_what_no_subscriber_wants_is_not_read_back_from_the_journal(tmp_path: Path) -> None:
    agent = Agent("soil")

    @agent.on("soil.wanted")
    async def note(reading: Reading) -> None:
        raise AssertionError(reading)

    async with World(tmp_path) as world:
        hub = await world.hub()
        await hub.node.host.add(agent)
        edge = await world.member(hub, "edge")
        await asyncio.sleep(5)
        statements: list[str] = []
        hub.node.writer.store.database._connection.set_trace_callback(statements.append)
        for number in range(20):
            await edge.publish("soil.other", number)
            await world.drained(edge)
        await asyncio.sleep(61)  # what was passed over is on disk within a minute
        hub.node.writer.store.database._connection.set_trace_callback(None)
        inserted = sum(said.startswith(sql.PACK_PUT.partition("?")[0]) for said in statements)
        read_back = sum(said.startswith(sql.PACK_AFTER.partition("?")[0]) for said in statements)
        newest = hub.node.writer.store.packs.last_id
        assert inserted == 20
        assert read_back < 5
        assert {reader._written for reader in hub.node.feed.readers} == {newest}
