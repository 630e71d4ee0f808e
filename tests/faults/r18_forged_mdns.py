"""R18: 100,000 forged mDNS records: bounded memory, few tries, no session without the key, and the true hub is found.

Over a real link, with the processes of two machines, in tests/discovery/test_mdns_on_links.py.
"""

from __future__ import annotations

import asyncio
import gc
import struct
from pathlib import Path
from typing import Final

from zeroconf.asyncio import AsyncZeroconf

from kos_edge.discovery.sighting import SERVICE, Event, Found, Hint, Lost
from kos_edge.discovery.sightings import LIMIT
from kos_edge.mesh.claims import Role
from kos_edge.node.wanted import UNMET
from kos_edge.testing.loop import run_virtual
from kos_edge.transport.memory import PORT
from tests.discovery.forge import name, packets, record
from tests.discovery.test_browser import World as Link
from tests.faults.rows import Sweep, row
from tests.node.world import Machine, World
from tests.transport.test_volume import resident

MOST_GROWTH: Final = 30_000_000
"""Bytes: about a megabyte of what we remember, ten of zeroconf's own cache, and what the allocator keeps."""

HUB_AFTER: Final = 0.5
"""Of the flood, when the true hub begins to speak: after the forgers have taken every place."""


@row("R18", "100,000 forged mDNS records", minutes=2)
def sweep(run: Sweep) -> None:
    said = asyncio.run(heard(run, run.share(full=100_000, bounded=2_000)))
    run_virtual(acted_upon(run, run.folder, [event for event in said if isinstance(event, Found | Lost)]))


async def heard(run: Sweep, forged: int) -> list[Event]:
    """The flood through zeroconf's parser and our browser; what is said of it, and what it leaves in memory."""
    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
    await zeroconf.zeroconf.async_wait_for_start()
    link = Link(zeroconf, LIMIT)
    link.browser.start(own=None, loopback=False)
    before, true_hub_at = resident(), round(forged * HUB_AFTER)
    for number, packet in enumerate(packets(forged)):
        link.hear(packet)
        if number == true_hub_at // 20:
            link.sightings._allowance = max(
                link.sightings._allowance, 1.0
            )  # a twentieth of a second has passed
            link.hear(true_hub())
        await asyncio.sleep(0)
    run.case(forged)
    if not any(isinstance(event, Found) and event.kid_claimed == TRUE_HUB for event in link.said):
        run.wrong("the true hub was not found among the forged")
    if len(link.sightings) > LIMIT:
        run.wrong(f"{len(link.sightings)} names are remembered")
    gc.collect()
    grown = resident() - before
    if grown > MOST_GROWTH:
        run.wrong(f"{grown / 1e6:.1f} MB more after the flood")
    link.browser.close()
    await zeroconf.async_close()
    return link.said


TRUE_HUB: Final = b"\xfe" * 16


def true_hub() -> bytes:
    """What the true hub announces, address first: short-lived records that a full cache would drop."""
    instance = f"{TRUE_HUB.hex()}.{SERVICE}"
    records = (
        record("hub.local.", 1, bytes([192, 0, 2, 9]), 120),
        record(instance, 33, struct.pack("!HHH", 0, 0, PORT) + name("hub.local."), 120),
        record(instance, 16, b"\x03v=1\x08role=hub"),
        record(SERVICE, 12, name(instance)),
    )
    return struct.pack("!6H", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


async def acted_upon(run: Sweep, folder: Path, said: list[Found | Lost]) -> None:
    """An edge hears all of it, told as hubs of its mesh, while its hub has moved to another address."""
    async with World(folder, seed=run.seed) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await hub.stop()
        hub.number = 99
        await hub.start()
        peers, most = edge.node.peers, 0
        for number, event in enumerate(said):
            peers.heard(as_hub(event, edge, number))
            if number % 50 == 0:
                await asyncio.sleep(0.05)
                most = max(most, tries(edge))
        peers.heard(world.sighting(hub))
        began = asyncio.get_running_loop().time()
        try:
            await world.until(lambda: edge.linked(hub), within=30.0)
        except AssertionError:
            run.wrong("the hub is not reached at its new address")
        for _ in range(60):
            await asyncio.sleep(1)
            most = max(most, tries(edge))
        run.case(len(said))
        if not 0 < most <= UNMET + 1:  # and the hub
            run.wrong(f"{most} nodes were tried at a time")
        strangers = [s for s in edge.node.endpoint.sessions if getattr(s.peer, "kid", None) != hub.kid]
        if strangers:
            run.wrong(f"sessions with {strangers}, began {began}")


def as_hub(event: Found | Lost, edge: Machine, number: int) -> Found | Lost:
    """The same, at addresses of this network, some of them where somebody else answers."""
    if isinstance(event, Lost):
        return event
    hints = (Hint(f"10.9.{number >> 8 & 255}.{number & 255}", PORT, PORT), Hint(edge.address, PORT, PORT))
    return Found(event.kid_claimed, Role.HUB, edge.mesh[:8] if number % 2 else None, hints)


def tries(machine: Machine) -> int:
    return sum(known.trying for known in machine.node.peers._known.values())
