"""R12: a message that breaks its handler is set aside after its attempts, counted over restarts; others go on.

One of some messages is poison for one of two readers. It raises, or it ends the process; meanwhile the node is killed
at moments drawn by lot and started again. Kept outside of any state: what each reader was given, and what it raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from pathlib import Path

from kos_edge.agents.port import Delivery
from kos_edge.klp.body import Data
from kos_edge.node.attempts import AFTER_S, MOST
from kos_edge.testing.loop import run_virtual
from kos_edge.testing.machine import Machine
from kos_edge.testing.world import World
from tests.faults.rows import Sweep, row

MESSAGES = 12
OTHERS_WITHIN_S = 1.0
PATIENCE_S = 3 * sum(AFTER_S)


class Readers:
    """Two subscribers of one node over all of its lives: one that the poison breaks, one that nothing does."""

    def __init__(self, poison: int, ends: bool) -> None:
        self.poison = poison
        self.ends = ends
        self.given: Counter[object] = Counter()
        self.raised = 0
        self.others: dict[object, float] = {}
        self.fatal = asyncio.Event()

    async def broken(self, delivery: Delivery) -> None:
        value = _value(delivery)
        self.given[value] += 1
        if value == self.poison:
            if self.ends:
                self.fatal.set()
                await asyncio.Event().wait()
            self.raised += 1
            raise ValueError("poison")

    async def sound(self, delivery: Delivery) -> None:
        self.others.setdefault(_value(delivery), asyncio.get_running_loop().time())

    @contextlib.asynccontextmanager
    async def reading(self, machine: Machine):  # type: ignore[no-untyped-def]
        feed = machine.node.feed
        tasks = [
            asyncio.create_task(feed.subscribe("air.#", self.broken, name="broken").run()),
            asyncio.create_task(feed.subscribe("air.#", self.sound, name="sound").run()),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@row("R12", "a message that breaks its handler")
def sweep(run: Sweep) -> None:
    for number in range(run.share(full=300, bounded=4)):
        run_virtual(_story(run, run.seed + number, run.folder / str(number)))
        run.case()


async def _story(run: Sweep, seed: int, folder: Path) -> None:
    lot = random.Random(f"R12 {seed}")
    readers = Readers(poison=lot.randrange(MESSAGES), ends=lot.random() < 0.4)
    kills = lot.choice([0, 1, 3])
    async with World(folder, seed=seed) as world:
        hub = await world.hub()
        async with readers.reading(hub):
            await asyncio.sleep(0.01)  # it begins with what comes from now on
        alone = lot.random() < 0.5
        published = asyncio.get_running_loop().time()
        for start in range(0, MESSAGES, 1 if alone else 4):
            await hub.publish("air.value", *range(start, start + (1 if alone else 4)))
        lives = 0
        while not await _is_done(hub, readers):
            lives += 1
            if lives > MOST + kills + 2:
                run.wrong(f"seed {seed}: not set aside in {lives} lives")
                return
            await _live(hub, readers, lot.uniform(0.1, 12.0) if lives <= kills else PATIENCE_S)
        letters = [letter.id for letter in hub.node.writer.store.records.dead()]
        if len(letters) != 1:
            run.wrong(f"seed {seed}: {len(letters)} dead letters")
        most = MOST + min(kills, lives)  # a kill between a try and its count: that one is tried again
        if not readers.ends and not MOST <= readers.raised <= most:
            run.wrong(f"seed {seed}: tried {readers.raised} times, not {MOST}")
        run.lost(MESSAGES - len(readers.given), f"seed {seed}: {set(range(MESSAGES)) - readers.given.keys()}")
        late = [value for value, at in readers.others.items() if at - published > OTHERS_WITHIN_S]
        if not lives or (late and not readers.ends and not kills):
            run.wrong(f"seed {seed}: another reader waited for {late}")
        run.lost(MESSAGES - len(readers.others), f"seed {seed}: the other reader")


async def _live(hub: Machine, readers: Readers, seconds: float) -> None:
    """One life of the node: until it is done, until the poison ends it, or so many seconds."""
    readers.fatal.clear()
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    async with readers.reading(hub):
        while loop.time() < until and not readers.fatal.is_set():
            await asyncio.sleep(0.05)
            if await _is_done(hub, readers):
                return
        await hub.kill()
    await hub.start()


async def _is_done(hub: Machine, readers: Readers) -> bool:
    letters = await hub.node.writer.read(lambda store: store.records.dead_count())
    return bool(letters) and len(readers.given) == len(readers.others) == MESSAGES


def _value(delivery: Delivery) -> object:
    assert isinstance(delivery.payload, Data)
    return delivery.payload.value()
