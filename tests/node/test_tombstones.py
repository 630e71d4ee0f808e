"""What expires at its source is shown to its receiver as that, and never missed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kos_edge.agents.port import Delivery
from kos_edge.cli.demo.ledger import Ledger
from kos_edge.klp.body import Data
from kos_edge.node import reporting
from kos_edge.testing import in_virtual_time
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


async def tombstones(machine: Machine) -> list[tuple[int, object]]:
    """Those that `tail` shows: the first number, and the body."""
    return [
        (message["seq"], message["body"])
        async for message in machine.operations.export(topic="of.something.else")
        if message["type"] == "tombstone"
    ]


async def publish(machine: Machine, value: int, ttl_s: int | None) -> None:
    await machine.node.publisher.enqueue("air.temperature", Data(value), ttl_s=ttl_s, linger_s=0.0)


@in_virtual_time
async def test_what_expires_while_the_hub_is_away_is_known_there_as_expired(tmp_path: Path) -> None:
    heard: list[object] = []

    async def hear(delivery: Delivery) -> None:
        heard.append(delivery.payload.value() if isinstance(delivery.payload, Data) else None)

    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        subscriber = asyncio.create_task(hub.node.feed.subscribe("#", hear, name="all").run())
        world.isolate(edge)
        for value, ttl_s in ((1, 30), (2, 40), (3, None), (4, 50), (5, 3_600)):
            await publish(edge, value, ttl_s)
        await asyncio.sleep(180)
        expired = {"reason": "expired", "first": 1, "last": 2, "count": 2}
        assert await tombstones(edge) == [(1, expired), (4, {**expired, "first": 4, "last": 4, "count": 1})]
        report = await reporting.queue(edge.node)
        assert [(lane["messages"], lane["expired"], lane["dropped"]) for lane in report["lanes"]] == [
            (2, 3, 0)
        ]
        world.network.heal()
        await world.drained(edge)
        await asyncio.sleep(1)
        assert heard == await hub.values() == [3, 5]
        assert await tombstones(hub) == await tombstones(edge)
        journal = await reporting.journal(hub.node)
        assert (journal["messages"], journal["expired"], journal["dropped"]) == (2, 3, 0)
        assert (reporting.traffic(edge.node)["expired"], reporting.traffic(edge.node)["settled"]) == (3, 2)
        subscriber.cancel()
        assert await world.ledger([edge], hub) == Ledger(5, 2, 0, 0, 0, 0, 0, dropped=3)


@in_virtual_time
async def test_what_was_sent_before_a_kill_and_expired_after_it_is_not_counted_as_lost(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await publish(edge, 1, 30)
        await world.until(lambda: hub.node.inbound.counters["messages"] == 1)
        world.isolate(edge)
        await publish(edge, 2, 30)
        await asyncio.sleep(100)
        await edge.kill()
        world.network.heal()
        await edge.start(peers=[hub])
        await publish(edge, 3, None)
        await world.drained(edge)
        assert await world.ledger([edge], hub) == Ledger(3, 2, 0, 0, 0, 0, 0, dropped=1)
