"""What a node says of the future of its queue, and what it says that it does not know."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kos_edge.node.config import TopicRule
from kos_edge.node.sections import QueueSection
from kos_edge.node.station import open_offline
from kos_edge.testing import in_virtual_time
from kos_edge.testing.world import World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


@in_virtual_time
async def test_in_an_outage_it_says_when_the_queue_is_full(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge", queue=QueueSection(max_messages=100))
        assert (await edge.operations.forecast())["drain"]["seconds"] == 0
        world.isolate(edge)
        for number in range(20):
            await edge.publish("air.temperature", number)
            await asyncio.sleep(1)
        report = await edge.operations.forecast()
        assert report["drain"]["why"] == "nothing leaves now"
        assert report["limit"] == "messages"
        assert report["full"]["seconds"] == pytest.approx(80, rel=0.2)
        assert (await edge.operations.queue())["forecast"]["full"] == report["full"]


@in_virtual_time
async def test_without_a_daemon_it_says_that_nothing_is_measured(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        world.isolate(edge)
        await edge.publish("air.temperature", 1, 2, 3)
        await edge.stop()
        async with open_offline(edge.state) as operations:
            report = await operations.forecast()
        assert report["measured_s"] == 0
        assert report["drain"]["seconds"] is None
        assert "running daemon" in report["drain"]["why"]
        assert "running daemon" in report["full"]["why"]


@in_virtual_time
async def test_it_says_which_limit_is_reached_and_what_goes_first_then(tmp_path: Path) -> None:
    queue = QueueSection(when_full="drop-lowest-priority", max_messages_low=50)
    topics = (TopicRule("low.#", {"priority": "low"}), TopicRule("high.#", {"priority": "high"}))
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge", queue=queue, topics=topics)
        world.isolate(edge)
        for number in range(10):
            await edge.publish("high.value", number)
            await edge.publish("low.value", number)
            await asyncio.sleep(1)
        report = await edge.operations.forecast()
        assert report["limit_of"] == "the queue of priority low"
        assert report["full"]["seconds"] == pytest.approx(40, rel=0.2)
        assert report["at_limit"] == "the oldest of priority low for hub are dropped first, with a tombstone"
