"""Real multicast DNS within this machine, over its loopback."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from kos_edge.discovery.mdns import Mdns
from kos_edge.discovery.sighting import Advertisement, Event, Found, Hint, Lost, Trouble, Working
from kos_edge.mesh.claims import Role

PATIENCE = 10.0
"""Seconds for what should take a tenth of one."""


class Ear:
    """Collects what one Mdns says."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self.hear = self._events.put_nowait

    async def until(self, wanted: Callable[[Event], bool]) -> Event:
        async with asyncio.timeout(PATIENCE):
            while True:
                event = await self._events.get()
                if wanted(event):
                    return event


@asynccontextmanager
async def running(mdns: Mdns) -> AsyncIterator[None]:
    task = asyncio.ensure_future(mdns.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def advertised(role: Role, port: int = 5683) -> Advertisement:
    return Advertisement(os.urandom(16), role, bytes(range(32)), port, 5684, priority=1, weight=2)


def about(advertisement: Advertisement) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, Found) and event.kid_claimed == advertisement.kid


async def test_nodes_of_one_machine_find_each_other_and_say_goodbye() -> None:
    hub, edge = advertised(Role.HUB), advertised(Role.EDGE)
    at_hub, at_edge = Ear(), Ear()
    async with running(Mdns(at_hub.hear, advertisement=hub, named=("lo",))):
        assert await at_hub.until(lambda event: isinstance(event, Working)) == Working(("lo",))
        async with running(Mdns(at_edge.hear, advertisement=edge, named=("lo",))):
            found = await at_edge.until(about(hub))
            here = Hint("127.0.0.1", 5683, 5684)
            assert isinstance(found, Found)
            assert found.addresses[0] == here
            assert (found.role, found.mesh_prefix) == (Role.HUB, bytes(range(8)))
            assert (found.priority, found.weight) == (1, 2)
            await at_hub.until(about(edge))
        await at_hub.until(lambda event: event == Lost(edge.kid))


async def test_what_a_node_says_anew_reaches_the_others() -> None:
    before, ear = advertised(Role.EDGE), Ear()
    after = Advertisement(before.kid, Role.EDGE, before.mesh, 9999)
    speaker = Mdns(lambda event: None, advertisement=before, named=("lo",))
    async with running(Mdns(ear.hear, named=("lo",))), running(speaker):
        await ear.until(about(before))
        speaker.advertise(after)
        wanted = Hint("127.0.0.1", 9999, None)
        await ear.until(lambda event: isinstance(event, Found) and wanted in event.addresses)


async def test_an_interface_that_is_not_there_is_told_and_nothing_is_raised() -> None:
    ear = Ear()
    async with running(Mdns(ear.hear, named=("nope*",))):
        trouble = await ear.until(lambda event: isinstance(event, Trouble))
    assert isinstance(trouble, Trouble)
    assert trouble.message == "no interface called nope* has an address"
