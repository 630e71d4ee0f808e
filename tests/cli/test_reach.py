"""The way to the node: its daemon, its state, or a moment's patience while the one becomes the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from kos_edge.cli.reach import enter
from kos_edge.control.client import Client
from kos_edge.control.protocol import Operations
from kos_edge.control.server import ControlServer
from kos_edge.errors import Unavailable
from kos_edge.node.statedir import StateDir, StateInUse
from tests.control.node import SmallNode


@asynccontextmanager
async def offline(path: Path) -> AsyncIterator[Operations]:
    with StateDir(path).lock():
        yield SmallNode()


async def test_without_a_daemon_the_state_is_opened_and_let_go(state: Path) -> None:
    home = StateDir.open(state)
    async with AsyncExitStack() as stack:
        assert isinstance(await enter(stack, home, offline, start="run"), SmallNode)
        with pytest.raises(StateInUse):
            home.lock()
    home.lock().close()


async def test_a_daemon_is_asked_where_one_runs(state: Path) -> None:
    home = StateDir.open(state)
    server = ControlServer(home.control_socket, SmallNode())
    with home.lock():
        await server.start()
        async with AsyncExitStack() as stack:
            assert isinstance(await enter(stack, home, offline, start="run"), Client)
        await server.close()


async def test_a_daemon_that_is_starting_is_waited_for(state: Path) -> None:
    home = StateDir.open(state)
    server = ControlServer(home.control_socket, SmallNode())

    @asynccontextmanager
    async def starting(path: Path) -> AsyncIterator[Operations]:
        await server.start()
        raise StateInUse(path, 1)
        yield SmallNode()

    async with AsyncExitStack() as stack:
        assert isinstance(await enter(stack, home, starting, start="run"), Client)
    await server.close()


async def test_a_state_that_stays_in_use_is_told_with_its_process(state: Path) -> None:
    home = StateDir.open(state)
    with home.lock():
        async with AsyncExitStack() as stack:
            with pytest.raises(StateInUse, match="in use by process"):
                await enter(stack, home, offline, start="run", patience_s=0.0)


async def test_what_needs_a_daemon_says_how_to_start_it(state: Path) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(Unavailable, match="and this needs one") as missing:
            await enter(stack, StateDir.open(state), None, start="kos-edge run")
    assert missing.value.hint == "start it: kos-edge run"
