"""Work that nobody waits for shares the commit of somebody who does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kos_edge.store.store import Store
from kos_edge.store.writer import Writer

pytestmark = pytest.mark.may_block

LONG_S = 600.0


@pytest.fixture(params=[True, False], ids=["threaded", "in place"])
async def writer(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Writer]:
    made = Writer(tmp_path / "kos.db", threaded=request.param)
    yield made
    await made.close()


@pytest.fixture
def commits(writer: Writer) -> list[None]:
    """One for each commit that was begun so far."""
    begun: list[None] = []
    writer.store.database.on_commit(lambda: begun.append(None), lambda: None)
    return begun


def put(key: str) -> Callable[[Store], None]:
    return lambda store: store.database.put(key, b"x")


async def test_who_rides_shares_the_next_commit(writer: Writer, commits: list[None]) -> None:
    riding = asyncio.create_task(writer.ride(put("a"), LONG_S))
    await asyncio.sleep(0)
    assert not riding.done()
    await writer.run(put("b"))
    await riding
    assert len(commits) == 1


async def test_what_only_reads_takes_nobody_along(writer: Writer) -> None:
    riding = asyncio.create_task(writer.ride(put("a"), LONG_S))
    await asyncio.sleep(0)
    assert await writer.read(lambda store: store.database.get("a")) is None
    assert not riding.done()
    await writer.run(put("b"))
    await riding


async def test_who_waits_long_enough_has_a_commit_of_its_own(writer: Writer) -> None:
    await writer.ride(put("a"), 0.0)
    assert await writer.read(lambda store: store.database.get("a")) == b"x"


async def test_who_rides_when_it_closes_is_written(tmp_path: Path, writer: Writer) -> None:
    riding = asyncio.create_task(writer.ride(put("a"), LONG_S))
    await asyncio.sleep(0)
    await writer.close()
    await riding
    again = Store(tmp_path / "kos.db")
    assert again.database.get("a") == b"x"
    again.close()
