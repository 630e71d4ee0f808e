"""A node leaves its mesh with something still owed, and joins another."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kos_edge.node.config import TopicRule
from kos_edge.testing import in_virtual_time
from tests.node.world import World

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
