"""R15: clocks that are set wrong again and again, and boots in 1970: no storm of handshakes, no valid peer refused."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from kos_edge.testing.loop import EPOCH, run_virtual
from kos_edge.transport.faults import Faults
from tests.faults.rows import Sweep, row
from tests.node.world import Machine, World

DAY_S = 86_400.0
STEPS = (400 * DAY_S, -400 * DAY_S, 10 * 365 * DAY_S, 3_600.0, -3_600.0, 90.0, -90.0)
QUIET_S = 120.0
MOST_DATAGRAMS = 60
"""In two minutes: keep-alives of two links, and one message with its receipt."""

MOST_HANDSHAKES = 3
"""After a start of both: one each way, and one for a renewed membership."""


@row("R15", "clocks jump by up to 10 years while nodes run and while they are off; boots in 1970", minutes=2)
def sweep(run: Sweep) -> None:
    for folder, seed in run.cases(full=300, bounded=5):
        run_virtual(case(run, folder, seed))


async def case(run: Sweep, folder: Path, seed: int) -> None:
    """Ten jumps of one clock or both, every third one over a restart."""
    lot = random.Random(f"clocks {seed}")
    async with World(folder, seed=seed, faults=Faults(delay=0.01)) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await world.settled()
        for number in range(10):
            restart = number % 3 == 2
            before = {machine: machine.handshakes for machine in (hub, edge)}
            traffic = world.network.traffic.datagrams
            for machine in lot.choice(([hub], [edge], [hub, edge])):
                if restart:
                    await machine.stop()
                jump(machine, lot)
                if restart:
                    await machine.start()
                    before[machine] = 0
            try:
                await edge.publish("air.temperature", number)
                await world.drained(edge, within=20)
                await world.until(lambda: edge.linked(hub) and hub.linked(edge), within=20)
            except AssertionError as error:
                run.wrong(f"seed {seed} jump {number}: {error}")
                return
            await asyncio.sleep(QUIET_S)
            storms(run, f"seed {seed} jump {number}", before, MOST_HANDSHAKES if restart else 0)
            datagrams = world.network.traffic.datagrams - traffic
            if datagrams > MOST_DATAGRAMS:
                run.wrong(f"seed {seed} jump {number}: {datagrams} datagrams")
        came = await hub.values()
        run.lost(10 - len(set(map(str, came))), f"seed {seed}: {came}")
        if came != list(range(10)):
            run.wrong(f"seed {seed}: {came}")


def jump(machine: Machine, lot: random.Random) -> None:
    """Set its wall clock wrong, or to 1970, or right again."""
    choice = lot.randrange(4)
    if choice == 0:
        machine.clock.step_wall(-machine.clock.wall())
    elif choice == 1:
        machine.clock.step_wall(EPOCH - machine.clock.wall() + machine.clock.monotonic())
    else:
        machine.clock.step_wall(lot.choice(STEPS))


def storms(run: Sweep, where: str, before: dict[Machine, int], most: int) -> None:
    """Count handshakes since: none while nodes run, a few after a start, and none that failed."""
    for machine, count in before.items():
        if machine.handshakes - count > most:
            run.wrong(f"{where}: {machine.name} made {machine.handshakes - count} handshakes")
        if machine.node.handshakes.failed:
            run.wrong(f"{where}: a handshake of {machine.name} failed")
