"""R16: the address and the port of a peer change in mid-transfer: the session goes on by identity."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from kos_edge.testing.loop import run_virtual
from kos_edge.transport.faults import Faults
from tests.faults.rows import Sweep, row
from tests.node.world import World

MESSAGES = 3_000
MOVES = 4
V4, V6 = "10.0.9.{}", "fd00::{}"
BACK_S = 60.0
"""Within which the transfer is over, moves and all."""


@row("R16", "address and port of a peer change in mid-transfer, IPv4 to IPv6 and back", minutes=2)
def sweep(run: Sweep) -> None:
    for folder, seed in run.cases(full=200, bounded=3):
        run_virtual(case(run, folder, seed))


async def case(run: Sweep, folder: Path, seed: int) -> None:
    """A backlog that flows while its source is somewhere else again and again."""
    lot = random.Random(f"moves {seed}")
    async with World(folder, seed=seed, faults=Faults(loss=0.05, reorder=0.2, delay=0.02)) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        world.isolate(edge)
        for start in range(0, MESSAGES, 100):
            await edge.publish("air.temperature", *range(start, start + 100))
        world.network.heal()
        await world.until(lambda: edge.linked(hub) and hub.linked(edge))
        handshakes = edge.handshakes
        for number in range(MOVES):
            await asyncio.sleep(lot.uniform(0.05, 0.4))
            host = lot.choice((V4, V6)).format(number + 1)
            edge.datagrams.move(host, lot.randrange(1_024, 65_536))
        try:
            took = await world.until(lambda: not edge.node.writer.store.outbox.usage.messages, BACK_S)
        except AssertionError:
            run.wrong(
                f"seed {seed}: {edge.node.writer.store.outbox.usage.messages} messages after {BACK_S:g} s"
            )
            return
        came = await hub.received()
        missing = set(edge.acknowledged) - set(came)
        run.lost(len(missing), f"seed {seed}: {sorted(missing)[:1]}")
        run.twice(len(came) - len(set(came)), f"seed {seed}")
        if came != edge.acknowledged and not missing:
            run.wrong(f"seed {seed}: out of order")
        if edge.handshakes > handshakes + MOVES:
            run.wrong(
                f"seed {seed}: {edge.handshakes - handshakes} handshakes for {MOVES} moves in {took:.1f} s"
            )
