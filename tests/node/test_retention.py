"""What retention lets go of is gone for good reason: nobody who reads, and nobody who is owed, misses anything."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from kos_edge.agents.port import Delivery
from kos_edge.node.sections import JournalSection
from kos_edge.testing import in_virtual_time
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

KEPT = JournalSection(keep_for_s=60.0)
LONG = 300.0


class Reader:
    """A named subscriber."""

    def __init__(self, machine: Machine) -> None:
        self.ids: list[str] = []
        self._task = asyncio.create_task(machine.node.feed.subscribe("#", self._take, name="reader").run())

    async def _take(self, delivery: Delivery) -> None:
        self.ids.append(delivery.id)

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


@in_virtual_time
async def test_a_reader_that_is_up_to_date_misses_nothing_after_the_journal_was_emptied(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub(journal=KEPT)
        ids: list[str] = []
        heard: list[str] = []
        for _ in range(3):
            reader = Reader(hub)
            await asyncio.sleep(1)
            ids += await hub.publish("air.temperature", *range(5))
            await asyncio.sleep(LONG)
            await reader.close()
            heard += reader.ids
            await hub.kill()
            await hub.start()
        assert heard == ids
        assert hub.node.writer.store.packs.count < 3, "it was let go of"


@in_virtual_time
async def test_what_is_owed_is_kept_for_as_long_as_it_takes(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub(journal=KEPT)
        edge = await world.member(hub, "edge", journal=KEPT)
        await hub.stop()
        await edge.publish("air.temperature", *range(5))
        await asyncio.sleep(LONG)
        await edge.kill()
        await edge.start()
        await asyncio.sleep(LONG)
        await hub.start()
        await world.drained(edge)
        assert await hub.received() == edge.acknowledged
