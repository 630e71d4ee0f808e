"""A disk that takes nothing for a while: parts wait, nothing ends, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from kos_edge.agents.port import Delivery
from kos_edge.errors import KosError, Unavailable, Unknown
from kos_edge.klp.body import Data
from kos_edge.node.node import Node
from kos_edge.testing import in_virtual_time
from tests.node.world import World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


@contextlib.contextmanager
def full_disk(node: Node) -> Iterator[None]:
    """Meanwhile no commit of the node succeeds."""
    full = True

    def hook() -> None:
        if full:
            raise sqlite3.OperationalError("database or disk is full")

    node.writer.store.database.on_commit(hook, lambda: None)
    yield
    full = False


@in_virtual_time
async def test_what_was_receipted_meanwhile_is_settled_afterwards(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        world.isolate(edge)
        await edge.publish("air.temperature", 1)
        with full_disk(edge.node):
            world.network.heal()
            await world.until(
                lambda: edge.node.writer.store.packs.last_id == hub.node.writer.store.packs.last_id
            )
            await asyncio.sleep(5)
            assert edge.node.writer.store.outbox.usage.messages == 1
            with pytest.raises(Unavailable):
                await edge.publish("air.temperature", 2)
        await world.drained(edge, within=5)
        await world.until(lambda: edge.node.settling.delivered == 1)


@in_virtual_time
async def test_a_subscriber_goes_on(tmp_path: Path) -> None:
    heard: list[str] = []

    async def handler(delivery: Delivery) -> None:
        heard.append(delivery.id)

    async with World(tmp_path) as world:
        hub = await world.hub()
        subscription = hub.node.bus.subscribe("#", handler, name="test")
        await asyncio.sleep(1)
        ids = await hub.publish("air.temperature", 1)
        with full_disk(hub.node):
            await asyncio.sleep(5)
        ids += await hub.publish("air.temperature", 2)
        await asyncio.sleep(5)
        await subscription.close()
        assert heard == ids
        assert hub.node.writer.store.records.cursor("test") == hub.node.writer.store.packs.last_id


@in_virtual_time
async def test_a_revocation_is_in_force_though_it_cannot_be_written(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        with full_disk(hub.node):
            with pytest.raises(KosError):
                await hub.operations.revoke(who="edge")
            assert not hub.linked(edge) or hub.node.peers.links[edge.kid].session.closed
            assert hub.node.endpoint.sessions == []


@in_virtual_time
async def test_whoever_waits_for_a_commit_that_the_end_overtakes_is_told(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        publisher = hub.node.publisher

        async def never(_: object) -> object:
            return await asyncio.get_running_loop().create_future()

        write, hub.node.writer.run = hub.node.writer.run, never  # type: ignore[method-assign, assignment]
        future = publisher.enqueue("air.temperature", Data(1), linger_s=0.0)
        await asyncio.sleep(1)
        hub.node.writer.run = write  # type: ignore[method-assign]
        await hub.stop()
        with pytest.raises(Unknown):
            await future
