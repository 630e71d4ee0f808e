"""A seed gives the same run to the byte: what fails once can be looked at as often as one likes."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from kos_edge.testing import in_virtual_time
from kos_edge.transport.faults import Faults
from tests.node.world import World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


def trace(folder: Path, seed: int) -> tuple[int, str, list[str]]:
    """Everything that was put on the wire, and when; and what arrived."""
    digest, count = hashlib.sha256(), 0

    @in_virtual_time
    async def story() -> list[str]:
        bad = Faults(loss=0.1, duplicate=0.1, reorder=0.3, corrupt=0.02, delay=0.02, jitter=0.01)
        async with World(folder, seed=seed, faults=bad) as world:

            def tap(source: object, target: object, data: bytes) -> None:
                nonlocal count
                count += 1
                digest.update(
                    f"{asyncio.get_running_loop().time():.9f} {source} {target} {data.hex()}\n".encode()
                )

            world.network.tap = tap
            hub = await world.hub()
            north, south = await world.member(hub, "north"), await world.member(hub, "south")
            for number in range(20):
                await asyncio.gather(north.publish("a.b", number), south.publish("a.c", number))
                await asyncio.sleep(0.1)
            await hub.kill()
            await north.kill()
            await hub.start()
            await north.start()
            await north.publish("a.b", 20)
            await world.drained(north, south)
            return await hub.received()

    folder.mkdir()
    arrived = story()
    return count, digest.hexdigest(), arrived


def test_a_seed_gives_the_same_run_to_the_byte_and_another_seed_another_one(tmp_path: Path) -> None:
    first, again, other = (trace(tmp_path / name, seed) for name, seed in (("a", 7), ("b", 7), ("c", 8)))
    assert first == again
    assert first[1] != other[1]
    assert len(first[2]) == len(other[2]) == 41
