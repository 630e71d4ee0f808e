"""R10: a ttl while wall clocks are set 400 days off, over restarts, and over reboots of a machine without a clock."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from kos_edge.klp.body import Data, Intent
from kos_edge.testing.loop import EPOCH, run_virtual
from kos_edge.transport.faults import Faults
from tests.faults.rows import Sweep, row
from tests.node.world import Machine, World

DAYS_400 = 400 * 86_400.0
TRUE = EPOCH + 2 * DAYS_400
"""What wall clocks say at the beginning: 400 days earlier they are still set, as far as anybody can tell."""

OFF_BY = (DAYS_400, -DAYS_400, 3_600.0, -3_600.0, 0.0)
WITHIN_S = 1.0
OFF_S = 3.0
"""How long a machine is off at a restart, at least."""


@row("R10", "ttl while clocks step by 400 days either way, and over reboots without a clock", minutes=3)
def sweep(run: Sweep) -> None:
    stories = (at_the_source, at_the_receiver, without_a_clock, by_the_time_of_the_hub)
    for folder, seed in run.cases(full=600, bounded=12):
        run_virtual(stories[seed % len(stories)](run, folder, seed))


async def at_the_source(run: Sweep, folder: Path, seed: int) -> None:
    """What waits in the outbox expires after its ttl of time, whatever the clocks say meanwhile."""
    lot = random.Random(f"ttl {seed}")
    ttl, late = lot.randint(20, 600), lot.random() < 0.5
    async with World(folder, seed=seed, faults=Faults(delay=0.01)) as world:
        hub, edge = await _pair(world)
        world.isolate(edge)
        began = edge.clock.monotonic()
        await _publish(edge, ttl)
        await _disturb(lot, [hub, edge], began + ttl - 15)
        await _sleep_until(edge, began + ttl + (2 * WITHIN_S if late else -2 * WITHIN_S))
        world.network.heal()
        await world.until(lambda: edge.linked(hub), within=15)
        await world.drained(edge)
        left = (
            began + ttl - edge.clock.monotonic()
        )  # a session may take some seconds before it carries anything
        _judge(run, f"seed {seed}: ttl {ttl} at the source", await hub.values(), left)


async def at_the_receiver(run: Sweep, folder: Path, seed: int) -> None:
    """What waits in the journal for its subscriber expires too, by the time that has passed."""
    lot = random.Random(f"ttl {seed}")
    ttl = lot.randint(20, 600)
    async with World(folder, seed=seed, faults=Faults(delay=0.01)) as world:
        hub, edge = await _pair(world)
        began = edge.clock.monotonic()
        await _publish(edge, ttl)
        await world.drained(edge)
        await _disturb(lot, [hub, edge], began + ttl - 10)
        for at in (ttl - 2 * WITHIN_S, ttl + 2 * WITHIN_S):
            await _sleep_until(edge, began + at)
            _judge(run, f"seed {seed}: ttl {ttl} at the receiver", await hub.values(), ttl - at)


async def without_a_clock(run: Sweep, folder: Path, seed: int) -> None:
    """Reboots in 1970: the age is unknown, uptime counts, data passes and a command does not."""
    lot = random.Random(f"ttl {seed}")
    ttl = lot.randint(60, 600)
    async with World(folder, seed=seed, faults=Faults(delay=0.01)) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        edge.clock.step_wall(-EPOCH)
        await edge.kill()
        await edge.start()
        world.isolate(edge)
        await _publish(edge, ttl)
        await edge.node.publisher.enqueue("valve.open", Intent("valve.open"), ttl_s=10 * ttl, linger_s=0.0)
        await edge.kill()
        await asyncio.sleep(ttl * lot.random())
        await edge.start()
        began = edge.clock.monotonic()
        late = lot.random() < 0.5
        await _sleep_until(edge, began + (ttl + 2 * WITHIN_S if late else ttl - 20))
        world.network.heal()
        await world.until(lambda: edge.linked(hub), within=15)
        await world.drained(edge)
        left = (
            began + ttl - edge.clock.monotonic()
        )  # a session may take some seconds before it carries anything
        where = f"seed {seed}: ttl {ttl} without a clock"
        _judge(run, where, await hub.values(), left)
        dead = [letter.reason for letter in edge.node.writer.store.records.dead()]
        if len(dead) != 1:
            run.wrong(f"{where}: a command of unknown age was not refused: {dead}")


async def by_the_time_of_the_hub(run: Sweep, folder: Path, seed: int) -> None:
    """Never a clock, but a hub that was heard before and after: the time that the power was off counts."""
    lot = random.Random(f"ttl {seed}")
    ttl, late = lot.randint(60, 600), lot.random() < 0.5
    async with World(folder, seed=seed, faults=Faults(delay=0.01)) as world:
        hub, edge = world.machine("hub", "hub"), world.machine("edge")
        _set(hub, lot)
        if without := lot.random() < 0.5:
            edge.clock.step_wall(-EPOCH)
        else:
            _set(edge, lot)
        await hub.start()
        await edge.start(peers=[hub])
        await world.join(edge, hub)
        await world.until(lambda: edge.linked(hub) and hub.linked(edge))
        await edge.publish("this.is", "not counted")
        await world.drained(edge)  # so that each has heard the other's time
        world.isolate(edge)
        began = edge.clock.monotonic()
        await _publish(edge, ttl)
        await edge.kill()
        if not without:
            edge.clock.step_wall(-edge.clock.wall())
        await asyncio.sleep(ttl * lot.random())
        await edge.start()
        await _sleep_until(edge, began + ttl + (2 * WITHIN_S if late else -15))
        world.network.heal()
        await world.until(lambda: edge.linked(hub), within=15)
        await world.drained(edge)
        left = (
            began + ttl - edge.clock.monotonic()
        )  # a session may take some seconds before it carries anything
        _judge(run, f"seed {seed}: ttl {ttl} by the time of the hub", await hub.values(), left)


async def _pair(world: World) -> tuple[Machine, Machine]:
    hub, edge = world.machine("hub", "hub"), world.machine("edge")
    for machine in (hub, edge):
        machine.clock.step_wall(TRUE - EPOCH)
    await hub.start()
    await edge.start(peers=[hub])
    await world.join(edge, hub)
    await world.until(lambda: edge.linked(hub) and hub.linked(edge))
    return hub, edge


async def _publish(edge: Machine, ttl: int) -> None:
    await edge.node.publisher.enqueue("air.temperature", Data("counted"), ttl_s=ttl, linger_s=0.0)


async def _disturb(lot: random.Random, machines: list[Machine], until: float) -> None:
    """Steps and restarts, until that monotonic second at most. A machine that was set wrong says something first."""
    while machines[0].clock.monotonic() + 2 * OFF_S < until and lot.random() < 0.8:
        machine = lot.choice(machines)
        match lot.randrange(3):
            case 0:
                _set(machine, lot)
            case 1:
                _set(machine, lot)
                await machine.publish("this.is", "not counted", audience=f"kid:{machine.kid.hex()}")
                await _restart(machine, lot)
            case _:
                await _restart(machine, lot)
        span = until - machines[0].clock.monotonic()
        await asyncio.sleep(lot.uniform(0.0, max(0.0, span / 2)))


def _set(machine: Machine, lot: random.Random) -> None:
    """Somebody sets its wall clock wrong, or right."""
    clock = machine.clock
    clock.step_wall(TRUE + lot.choice(OFF_BY) + clock.monotonic() - clock.wall())


async def _restart(machine: Machine, lot: random.Random) -> None:
    await machine.publish("this.is", "not counted", audience=f"kid:{machine.kid.hex()}")
    await (machine.kill() if lot.random() < 0.5 else machine.stop())
    await asyncio.sleep(OFF_S)
    await machine.start()


async def _sleep_until(machine: Machine, at: float) -> None:
    await asyncio.sleep(max(0.0, at - machine.clock.monotonic()))


def _judge(run: Sweep, where: str, values: list[object], left: float) -> None:
    """The message is there while time is left, and is not when none is; within a second either is right."""
    there = "counted" in values
    if left > WITHIN_S and not there:
        run.lost(1, f"{where}: gone {left:.1f} s too early")
    elif left < -WITHIN_S and there:
        run.wrong(f"{where}: there {-left:.1f} s too late")
