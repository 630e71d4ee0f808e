"""The way from a command to the node: its daemon where one runs, else its state, under the lock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from kos_edge.cli.face import Face
from kos_edge.control.client import Client, NoDaemon
from kos_edge.control.protocol import Operations
from kos_edge.errors import Unavailable
from kos_edge.node.kept_meta import is_station
from kos_edge.node.statedir import StateDir, StateInUse

T = TypeVar("T")
Opener = Callable[[Path], AbstractAsyncContextManager[Operations]]

PATIENCE_S = 5.0
"""Seconds that a state may be held by a process without a socket: a starting daemon, or another command."""

_AGAIN_S = 0.05


def ask(face: Face, verb: Callable[[Operations], Awaitable[T]], *, offline: bool = True) -> T:
    """The answer to one verb. With `offline` it works on the state where no daemon runs."""

    async def go() -> T:
        async with reach(face, offline=offline) as operations:
            return await verb(operations)

    return asyncio.run(go())


@asynccontextmanager
async def reach(face: Face, *, offline: bool = True) -> AsyncGenerator[Operations, None]:
    """The node's operations. Raises NotInitialised, Unavailable where there is no daemon and it needs one."""
    async with AsyncExitStack() as stack:
        state = StateDir.open(face.state)
        yield await enter(stack, state, _open if offline else None, start=face.command("run"))


async def enter(
    stack: AsyncExitStack,
    state: StateDir,
    opener: Opener | None,
    *,
    start: str,
    patience_s: float = PATIENCE_S,
) -> Operations:
    """A client of the daemon, else what `opener` opens, kept open by `stack`; `start` runs a daemon."""
    client = Client(state.control_socket)
    give_up = asyncio.get_running_loop().time() + patience_s
    while True:
        try:
            await client.reach()
            return client
        except NoDaemon as error:
            if opener is None and not is_station(state.path):
                raise Unavailable(f"{error.message}, and this needs one", hint=f"start it: {start}") from None
        try:
            return await stack.enter_async_context((opener or _open)(state.path))
        except StateInUse:
            if asyncio.get_running_loop().time() >= give_up:
                raise
            await asyncio.sleep(_AGAIN_S)


def _open(state: Path) -> AbstractAsyncContextManager[Operations]:
    """The whole node, which costs its imports only where no daemon has it."""
    from kos_edge.node.station import open_offline

    return open_offline(state)
