"""R11: however much of a higher priority waits, the lowest lane gets its configured share of a full link.

Whole nodes over a slow wire in virtual time, datagrams and streams. Every lane has more queued than the link carries;
while that lasts, its share is compared with the turns on the link that a lane gets, and with what the hub has of it.

Which lanes lost datagrams are of is by lot: of 23 packs, one lane had 19 at the hub and all its turns. So on a lossy
link what the hub has is held to the share only roughly.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from kos_edge.delivery.fair import Fair
from kos_edge.delivery.load import LaneKey
from kos_edge.node.config import TopicRule
from kos_edge.node.sections import QueueSection
from kos_edge.testing.loop import run_virtual
from kos_edge.transport.faults import Faults
from tests.faults.rows import Sweep, row
from tests.node.world import Machine, World

NAMES = ("low", "normal", "high", "critical")
LANES = tuple(TopicRule(f"{name}.#", {"priority": name}) for name in NAMES)
WATCHED_S = 12.0
SETTLES_S = 4.0
"""Seconds that the window may take to find the rate of the link before the shares are measured."""
TOLERANCE, TOLERANCE_LOSSY = 0.1, 0.4
PACK = 1_000
"""Bytes: a share of turns may be off by one more. What the hub gets is measured where it comes to 20."""
CRITICAL_WITHIN_S = 2.0


@dataclass(frozen=True)
class Case:
    """One load: which priorities are saturated, how large their messages are, and over what wire."""

    seed: int
    weights: tuple[int, int, int]
    sizes: dict[str, int]
    faults: Faults
    streams: bool

    @classmethod
    def drawn(cls, seed: int) -> Case:
        lot = random.Random(f"R11 {seed}")
        weights = lot.choice([(1, 2, 4), (1, 1, 1), (1, 3, 6), (3, 2, 1)])
        saturated = lot.choice([("low", "high"), ("low", "normal", "high"), NAMES, ("low", "critical")])
        sizes = {name: lot.choice([20, 45, 300, 800]) for name in saturated}
        loss = lot.choice([0.0, 0.0, 0.05])
        faults = Faults(delay=lot.choice([0.005, 0.05]), loss=loss, rate=lot.choice([32_000, 64_000]))
        return cls(seed, weights, sizes, faults, streams=lot.random() < 0.25)

    def shares(self) -> dict[str, float]:
        """What each saturated priority should get."""
        weights = dict(zip(NAMES, self.weights, strict=False))
        rest = 0.1 if "critical" in self.sizes else 1.0
        below = sum(weights[name] for name in self.sizes if name != "critical")
        shares = {name: rest * weights[name] / below for name in self.sizes if name != "critical"}
        return shares | ({"critical": 0.9} if "critical" in self.sizes else {})


@dataclass(slots=True)
class Counted(Fair):
    """The scheduler, and the bytes to which it has given turns by priority, sent again or not."""

    turns: Counter[str] = field(default_factory=Counter)

    def sent(self, key: LaneKey, size: int) -> None:
        self.turns[key[1].priority.name.lower()] += size
        Fair.sent(self, key, size)


@row("R11", "saturated high priority", minutes=3.0)
def sweep(run: Sweep) -> None:
    for number in range(run.share(full=40, bounded=2)):
        case = Case.drawn(run.seed + number)
        run_virtual(_story(run, case, run.folder / str(number)))
        run.case()


async def _story(run: Sweep, case: Case, folder: Path) -> None:
    low, normal, high = case.weights
    queue = QueueSection(weight_low=low, weight_normal=normal, weight_high=high)
    async with World(folder, seed=case.seed) as world:
        hub = await world.hub(streams=case.streams)
        edge = await world.member(hub, "edge", streams=case.streams, topics=LANES, queue=queue)
        world.isolate(edge)
        for name, size in case.sizes.items():
            wanted = 1.5 * case.faults.rate * (SETTLES_S + WATCHED_S) * max(case.shares()[name], 0.2)
            for start in range(0, int(wanted / (size + 8)), 200):
                await edge.publish(f"{name}.value", *(f"{start + n:0{size}}" for n in range(200)))
        world.network.set_faults(hub.address, edge.address, case.faults)
        world.network.heal()
        await world.until(lambda: _arrived(hub).total() > case.faults.rate)
        await asyncio.sleep(SETTLES_S)
        courier = edge.node.peers.links[hub.kid].courier
        courier.fair = counted = Counted(courier.fair.weights)
        before = _arrived(hub)
        await asyncio.sleep(WATCHED_S)
        got, turns = _arrived(hub) - before, counted.turns
        waiting = {key[1].priority.name.lower() for key in edge.node.writer.store.outbox.lanes()}
        if waiting != set(case.sizes):
            run.wrong(f"seed {case.seed}: {set(case.sizes) - waiting} was not saturated")
        for name, share in case.shares().items():
            wanted = share * turns.total()
            if abs(turns[name] - wanted) > TOLERANCE * wanted + PACK:
                run.wrong(
                    f"{case}: {name} got {turns[name] / turns.total():.3f} of the turns, not {share:.3f}"
                )
            wanted = share * got.total()
            tolerance = TOLERANCE_LOSSY if case.faults.loss else TOLERANCE
            if wanted >= 20 * PACK and abs(got[name] - wanted) > tolerance * wanted + PACK:
                run.wrong(f"{case}: {name} got {got[name] / got.total():.3f} of the link, not {share:.3f}")
        await _an_alarm(run, case, world, hub, edge)


async def _an_alarm(run: Sweep, case: Case, world: World, hub: Machine, edge: Machine) -> None:
    """One critical message in the middle of it all is there at once; where critical itself is full it waits."""
    if "critical" in case.sizes:
        return
    (alarm,) = await edge.publish("critical.alarm", "smoke")
    took = await world.until(lambda: _arrived(hub)["critical"])
    if took > CRITICAL_WITHIN_S:
        run.wrong(f"{case}: {alarm} took {took:.1f} s")


def _arrived(hub: Machine) -> Counter[str]:
    """Bytes of packs that the hub has of others, by priority: in its journal, and ahead of a gap."""
    store = hub.node.writer.store
    found: Counter[str] = Counter()
    for table in ("pack", "ahead"):
        sizes = f"SELECT stream, sum(length(sealed)) FROM {table} GROUP BY stream"
        for stream, size in store.database.execute(sizes):
            found[store.streams.by_id(stream).stream.cls.priority.name.lower()] += size
    return found
