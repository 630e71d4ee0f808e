"""More messages than CoAP has message ids, and the memory that they leave behind."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from kos_edge.testing.loop import run_virtual
from kos_edge.transport.memory import Network
from tests.transport.world import klp, pair

MESSAGES = 70_000
AT_ONCE = 500
PAGE = 4_096


def resident() -> int:
    """Bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@pytest.mark.may_block("one callback of the test itself counts what is in memory")
def test_seventy_thousand_requests_pass_one_endpoint_with_flat_memory() -> None:
    async def scenario() -> int:
        world = await pair(Network())
        world.b.requests = Counted()
        request = klp(bytes(300))

        async def ask(count: int) -> None:
            for _ in range(count):
                await world.from_a.request(request, confirmable=False)

        async def round_of(count: int) -> None:
            await asyncio.gather(*(ask(count // AT_ONCE) for _ in range(AT_ONCE)))

        await round_of(10_000)
        before = resident()
        await round_of(MESSAGES - 10_000)
        grown = resident() - before
        assert len(world.b.requests) == MESSAGES
        await world.close()
        return grown

    assert run_virtual(scenario()) < 2_000_000


class Counted(list):
    """Counts what is put into it, and keeps none of it."""

    def __init__(self) -> None:
        self._count = 0

    def append(self, item: object) -> None:
        self._count += 1

    def __len__(self) -> int:
        return self._count
