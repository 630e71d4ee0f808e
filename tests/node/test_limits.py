"""A queue that is full: what goes for what comes, and what the receiver and people hear of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kos_edge.cli.demo.ledger import Ledger
from kos_edge.delivery.wire import Reason
from kos_edge.errors import Unavailable
from kos_edge.node import reporting
from kos_edge.node.attempts import Attempts
from kos_edge.node.config import parse_config
from kos_edge.node.sections import QueueSection
from kos_edge.store.records import Dead
from kos_edge.testing import in_virtual_time
from tests.node.world import World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


@in_virtual_time
async def test_what_was_dropped_for_newer_ones_is_known_to_the_hub_as_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge", queue=QueueSection(max_messages=20, when_full="drop-oldest"))
        world.isolate(edge)
        with caplog.at_level(logging.WARNING):
            for value in range(50):
                await edge.publish("air.temperature", value)
        said = [record.getMessage() for record in caplog.records if "% full" in record.getMessage()]
        assert [text.partition(" % full")[0] for text in said] == [f"the queue is {n}" for n in (50, 80, 95)]
        report = await reporting.queue(edge.node)
        assert [(lane["messages"], lane["dropped"]) for lane in report["lanes"]] == [(20, 30)]
        assert reporting.traffic(edge.node)["dropped"] == 30
        assert any("100 % full" in text for text in reporting.warnings(edge.node))
        await edge.kill()
        await edge.start(peers=[hub])
        world.network.heal()
        await world.drained(edge)
        assert await hub.values() == list(range(30, 50))
        assert not any("% full" in text for text in reporting.warnings(edge.node))
        gone = [line async for line in hub.operations.export() if line["type"] == "tombstone"]
        assert [line["body"] for line in gone] == [
            {"reason": "dropped by policy", "first": 1, "last": 30, "count": 30}
        ]
        assert (await reporting.journal(hub.node))["dropped"] == 30
        assert await world.ledger([edge], hub) == Ledger(50, 20, 0, 0, 0, 0, 0, dropped=30)


@in_virtual_time
async def test_what_does_not_fit_is_refused_by_default(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge", queue=QueueSection(max_messages_normal=3))
        world.isolate(edge)
        await edge.publish("air.temperature", 1, 2, 3)
        with pytest.raises(Unavailable, match="priority normal is full: 3 messages"):
            await edge.publish("air.temperature", 4)
        world.network.heal()
        await world.drained(edge)
        assert await hub.values() == [1, 2, 3]


def test_limits_are_read_from_the_file() -> None:
    text = b'[queue]\nwhen-full = "drop-lowest-priority"\nmax-bytes-low = "1MB"\n'
    queue = parse_config(text).queue
    assert (queue.when_full, queue.max_bytes_low, queue.max_bytes_high) == (
        "drop-lowest-priority",
        1_000_000,
        None,
    )


@in_virtual_time
async def test_dead_letters_are_kept_up_to_a_limit_and_those_that_went_are_told(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub(queue=QueueSection(max_dead=3))
        attempts = Attempts(hub.node.writer, "reader")
        for number in range(5):
            await attempts.bury(Dead(f"id.{number}", number, Reason.HANDLER, "a", b""), 0)
        report = (await hub.operations.status())["queue"]
        assert (report["dead"], report["dead_dropped"]) == (3, 2)
