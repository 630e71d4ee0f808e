"""A node whose database was damaged: it starts, says so, and what can be proven arrives."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kos_edge.agents.port import Delivery
from kos_edge.klp.body import Data
from kos_edge.node.rekey import rekey
from kos_edge.node.sections import QueueSection
from kos_edge.node.trust import MEMBER
from kos_edge.store import sql
from kos_edge.testing import in_virtual_time
from tests.node.world import World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


@in_virtual_time
async def test_the_rest_of_the_queue_arrives_and_new_messages_too(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await edge.publish("air.temperature", 0)
        await world.drained(edge)
        world.isolate(edge)
        for number in range(1, 20):
            await edge.publish("note", f"{number} ".ljust(700, "x"))
        await edge.stop()
        file = edge.state / "kos.db"
        data = bytearray(file.read_bytes())
        for word in (b"7 xxxx", b"13 xxxx"):
            at = data.index(word) // sql.PAGE_SIZE * sql.PAGE_SIZE
            data[at : at + sql.PAGE_SIZE] = bytes(sql.PAGE_SIZE)
        file.write_bytes(data)
        world.network.heal()
        await edge.start(peers=[hub])
        await edge.publish("note", "new")
        await world.drained(edge)
        status = await edge.operations.status()
        assert status["health"] == "degraded"
        assert any("the store was damaged" in warning for warning in status["warnings"])
        bodies = [m["body"] async for m in hub.operations.export(topic="note") if isinstance(m["body"], str)]
        kept = [int(body.split()[0]) for body in bodies[:-1]]
        assert kept == sorted(kept)
        assert {1, 2, 3, 19} < set(kept)
        assert not {7, 13} & set(kept)
        assert len(kept) >= 15
        assert bodies[-1] == "new"


@in_virtual_time
async def test_damage_that_shows_while_it_runs_stops_nothing(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        world.isolate(edge)
        for number in range(10):
            await edge.publish("note", f"{number} ".ljust(400, "x"))
        await edge.stop()
        file = edge.state / "kos.db"
        data = bytearray(file.read_bytes())
        data[data.index(b"4 xxxx") + 100] ^= 1  # no page is wrong for SQLite, and one message is
        file.write_bytes(data)
        world.network.heal()
        await edge.start(peers=[hub])
        await world.drained(edge)
        bodies = [m["body"] async for m in hub.operations.export(topic="note") if isinstance(m["body"], str)]
        assert [int(body.split()[0]) for body in bodies] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
        await edge.publish("note", "new")
        await world.drained(edge)


@in_virtual_time
async def test_a_damaged_message_that_should_be_dropped_is_told_and_the_new_one_taken(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge", queue=QueueSection(max_messages=10, when_full="drop-oldest"))
        world.isolate(edge)
        for number in range(10):
            await edge.publish("note", f"{number} ".ljust(400, "x"))
        await edge.stop()
        file = edge.state / "kos.db"
        data = bytearray(file.read_bytes())
        data[data.index(b"0 xxxx") + 100] ^= 1
        file.write_bytes(data)
        await edge.start()
        await edge.publish("note", "new")
        assert any("the store was damaged" in text for text in (await edge.operations.status())["warnings"])
        assert edge.node.writer.store.outbox.usage.messages == 10
        world.network.heal()
        await world.drained(edge)
        bodies = [m["body"] async for m in hub.operations.export(topic="note") if isinstance(m["body"], str)]
        assert [body.split()[0] for body in bodies] == [*"123456789", "new"]


@in_virtual_time
@pytest.mark.parametrize("started", [False, True])
async def test_what_an_earlier_key_has_signed_is_proven_too(tmp_path: Path, started: bool) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        world.isolate(edge)
        for number in range(1, 20):
            await edge.publish("note", f"{number} ".ljust(700, "x"))
        token = (await hub.operations.invite(replaces="edge"))["token"]
        await edge.stop()
        rekey(edge.state, token)
        if started:
            await edge.start()
            await edge.stop()
        file = edge.state / "kos.db"
        data = bytearray(file.read_bytes())
        at = data.index(b"7 xxxx") // sql.PAGE_SIZE * sql.PAGE_SIZE
        data[at : at + sql.PAGE_SIZE] = bytes(sql.PAGE_SIZE)
        file.write_bytes(data)
        world.network.heal()
        await edge.start(peers=[hub])
        await world.until(lambda: edge.node.trust.is_member)
        await world.drained(edge)
        bodies = [m["body"] async for m in hub.operations.export(topic="note") if isinstance(m["body"], str)]
        kept = {int(body.split()[0]) for body in bodies}
        assert {1, 2, 3, 19} <= kept
        assert len(bodies) == len(kept) >= 15


@in_virtual_time
async def test_a_reader_that_is_up_to_date_hears_all_that_comes_after_a_salvage_has_lost_the_newest(
    tmp_path: Path,
) -> None:
    heard: list[object] = []

    async def hear(delivery: Delivery) -> None:
        assert isinstance(delivery.payload, Data)
        heard.append(delivery.payload.value())

    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        for number in range(10):
            await edge.publish("note", f"{number} ".ljust(400, "x"))
        await world.drained(edge)
        await hub.stop()
        file = hub.state / "kos.db"
        data = bytearray(file.read_bytes())
        for word in (b"8 xxxx", b"9 xxxx"):
            data[data.index(word) + 100] ^= 1
        file.write_bytes(data)
        await hub.start()
        reader = asyncio.create_task(hub.node.feed.subscribe("note", hear, name="reader").run())
        await asyncio.sleep(1)
        bodies = [m["body"] async for m in hub.operations.export(topic="note")]  # it shows now
        assert len(bodies) == 8
        await world.until(lambda: edge.linked(hub))
        for number in range(5):
            await edge.publish("note", number)
        await world.drained(edge)
        await asyncio.sleep(1)
        reader.cancel()
        assert heard == list(range(5))


@in_virtual_time
async def test_what_an_earlier_key_has_signed_is_proven_when_the_mesh_has_forgotten_it(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        old = edge.node.trust.kid
        world.isolate(edge)
        for number in range(1, 6):
            await edge.publish("note", f"{number} ".ljust(700, "x"))
        token = (await hub.operations.invite(replaces="edge"))["token"]
        await edge.stop()
        rekey(edge.state, token)
        await edge.start()
        await edge.node.writer.run(lambda store: store.records.delete(MEMBER, old))
        await edge.stop()
        file = edge.state / "kos.db"
        data = bytearray(file.read_bytes())
        data[data.index(b"3 xxxx") + 100] ^= 1
        file.write_bytes(data)
        world.network.heal()
        await edge.start(peers=[hub])
        await world.until(lambda: edge.node.trust.is_member)
        await world.drained(edge)
        bodies = [m["body"] async for m in hub.operations.export(topic="note")]
        assert bodies == [f"{number} ".ljust(700, "x") for number in (1, 2, 4, 5)]
        assert any("the store was damaged" in text for text in (await edge.operations.status())["warnings"])
