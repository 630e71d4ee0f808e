"""R09: three days without a link, and then the whole backlog sent again: nothing twice, nothing kept for it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

from kos_edge.delivery.wire import Parcel, encode_ship
from kos_edge.node.inbound import KLP_PATH
from kos_edge.testing.loop import run_virtual
from kos_edge.transport.coap import CHANGED, POST, Request
from kos_edge.transport.faults import Faults
from tests.faults.rows import Sweep, row
from tests.node.world import Machine, World

HOUR_S = 3_600.0
OUTAGE_H, BOUNDED_H = 72, 6


@row("R09", "72 hours of outage, then the whole backlog sent again", minutes=6)
def sweep(run: Sweep) -> None:
    for number in range(run.share(full=5, bounded=1)):
        seed = run.seed * 1_000 + number
        sizes = []
        for backlog in (120, 1_200 if run.full else 480):
            folder = run.folder / f"{number}-{backlog}"
            folder.mkdir()
            sizes.append(run_virtual(case(run, folder, seed, backlog, OUTAGE_H if run.full else BOUNDED_H)))
            run.case()
        if sizes[0] != sizes[1]:
            run.wrong(
                f"seed {seed}: the duplicate filter has {sizes[0]} bytes after one backlog, then {sizes[1]}"
            )


async def case(run: Sweep, folder: Path, seed: int, backlog: int, hours: int) -> int:
    """One outage during which `backlog` messages are published; the bytes of the hub's duplicate filter at its end."""
    async with World(folder, seed=seed, faults=Faults(delay=0.02)) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        world.isolate(edge)
        for _ in range(backlog // 10):
            await edge.publish("air.temperature", *range(10))
            await asyncio.sleep(hours * HOUR_S / (backlog // 10))
        world.network.heal()
        try:
            await world.drained(edge)
        except AssertionError:
            run.wrong(f"seed {seed}: not drained")
        came = await hub.received()
        missing = set(edge.acknowledged) - set(came)
        run.lost(len(missing), f"seed {seed}: {sorted(missing)[:1]}")
        for _ in range(2):
            await world.until(lambda: edge.linked(hub) and hub.linked(edge))
            await send_all_again(edge, hub)
        again = await hub.received()
        run.twice(len(again) - len(set(again)), f"seed {seed} with {backlog} messages")
        if again != came:
            run.wrong(f"seed {seed}: the journal has changed")
        return memory(hub)


async def send_all_again(edge: Machine, hub: Machine) -> None:
    """Ship every pack of the edge's journal once more, as it is."""
    session = edge.node.peers.links[hub.kid].session
    for entry in edge.node.writer.store.packs.read(0, 1_000_000):
        body = encode_ship([Parcel(entry.pack.raw, 0)])
        response = await session.request(Request(POST, KLP_PATH, body), timeout=60.0)
        assert response.code == CHANGED


def memory(hub: Machine) -> int:
    """Bytes of the positions that tell a duplicate: the lanes of the journal and the rows of the streams."""
    store = hub.node.writer.store
    return _size([store.journal._lanes, list(store.streams)], set())


def _size(value: object, seen: set[int]) -> int:
    if isinstance(value, int):
        return 64  # whatever its value: small ones exist once for all
    if id(value) in seen or isinstance(value, type):
        return 0
    seen.add(id(value))
    inside: Iterable[object] = ()
    if isinstance(value, dict):
        inside = (*value.keys(), *value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        inside = value
    elif hasattr(value, "__slots__"):
        inside = [getattr(value, name, None) for name in value.__slots__]
    return sys.getsizeof(value) + sum(_size(each, seen) for each in inside)
