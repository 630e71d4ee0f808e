"""R08: a bad network that flaps, and a receiver that is killed: each stream in order and exactly once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kos_edge.klp.pack import Position
from kos_edge.testing.loop import run_virtual
from kos_edge.transport.faults import Faults
from tests.faults.rows import Sweep, row
from tests.faults.weather import (
    BURST,
    CORRUPT,
    DELAY_S,
    DUPLICATE,
    EVERY_S,
    JITTER_S,
    LOSS,
    REORDER,
    Event,
    script,
)
from tests.node.world import Machine, World

BAD = Faults(LOSS, DUPLICATE, REORDER, CORRUPT, DELAY_S, JITTER_S)
SECONDS = 12.0
STREAMS_EVERY = 4
"""Every fourth case has TCP as well, to which a backlog moves."""


@row("R08", "10 % lost, 10 % twice, 30 % reordered, 2 % corrupted; flaps; receiver killed", minutes=11)
def sweep(run: Sweep) -> None:
    for folder, seed in run.cases(full=150, bounded=6):
        run_virtual(case(run, folder, seed))


async def case(run: Sweep, folder: Path, seed: int) -> None:
    """Two edges under load while the script happens to their hub."""
    async with World(folder, seed=seed, faults=BAD) as world:
        streams = seed % STREAMS_EVERY == 0
        hub = await world.hub(streams=streams)
        edges = [await world.member(hub, name, streams=streams) for name in ("north", "south")]
        playing = asyncio.create_task(play(world, hub, seed))
        await asyncio.gather(*(load(edge, SECONDS) for edge in edges))
        await playing
        try:
            await world.drained(*edges)
        except AssertionError:
            run.wrong(f"seed {seed}: not drained")
        came = await hub.received()
        for edge in edges:
            judge(run, seed, edge.acknowledged, [id for id in came if _source(id) == edge.kid])


async def load(machine: Machine, seconds: float) -> None:
    """Readings at 50 a second, as agents would publish them."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        await machine.publish("air.temperature", *range(BURST))
        await asyncio.sleep(EVERY_S)


async def play(world: World, hub: Machine, seed: int) -> None:
    """Let the script happen."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for step in script(seed, SECONDS):
        await asyncio.sleep(max(0.0, began + step.at - loop.time()))
        match step.event:
            case Event.CUT:
                world.isolate(hub)
            case Event.MEND:
                world.network.heal()
            case Event.KILL:
                await hub.kill()
            case Event.START:
                await hub.start()


def judge(run: Sweep, seed: int, accepted: list[str], came: list[str]) -> None:
    """Compare what a source was told with what the receiver has of it."""
    missing = [id for id in accepted if id not in set(came)]
    run.lost(len(missing), f"seed {seed}: {missing[:1]}")
    run.twice(len(came) - len(set(came)), f"seed {seed}")
    if not missing and list(dict.fromkeys(came)) != accepted:
        run.wrong(f"seed {seed}: out of order, or what nobody was told of")


def _source(id: str) -> bytes:
    return Position.parse(id).stream.source
