"""What a seed means: a fleet, what it publishes, and what goes wrong when. Drawn before anything runs.

Small fleets and short stories: a fault that needs a day of traffic to be found needs a test of its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from kos_edge.testing.loop import EPOCH
from kos_edge.transport.faults import Faults

HUB = "hub"
EDGES = ("north", "south", "west")
DAY_S = 86_400.0

CLOCK_STEPS = (400 * DAY_S, -400 * DAY_S, 3_600.0, -3_600.0, 7.0, -7.0, -EPOCH)
"""Seconds by which a wall clock is set wrong; the last is a boot in 1970."""

TOPICS = ("load.normal", "load.critical", "load.low", "load.fresh", "load.short", "load.volatile")
"""What each means is in `story.RULES`."""

WEATHERS = (
    Faults(delay=0.001),
    Faults(loss=0.1, duplicate=0.1, reorder=0.3, corrupt=0.02, delay=0.02, jitter=0.01),
    Faults(loss=0.3, duplicate=0.3, reorder=0.5, corrupt=0.1, delay=0.05, jitter=0.05),
    Faults(delay=0.4, jitter=0.2, reorder=0.2),
)


class Act(Enum):
    """What goes wrong."""

    KILL = "kill"  # SIGKILL; back after a while
    POWER = "power"  # the power fails in the middle of a commit; back after a while
    STOP = "stop"  # stopped in order; back after a while
    CUT = "cut"  # no wire to the hub for a while
    WEATHER = "weather"  # another network for a while
    CLOCK = "clock"  # the wall clock is set
    FULL = "full"  # no commit succeeds for a while
    BROKEN = "broken"  # syncs fail for a while
    MOVE = "move"  # another address, of which nobody is told
    REVOKE = "revoke"  # the hub shuts it out


_WEIGHTS = {
    Act.KILL: 6, Act.POWER: 6, Act.STOP: 2, Act.CUT: 6, Act.WEATHER: 3, Act.CLOCK: 3, Act.FULL: 2, Act.BROKEN: 2,
    Act.MOVE: 2, Act.REVOKE: 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that goes wrong with `who`, `at` seconds after the load began, for `seconds`."""

    at: float
    act: Act
    who: str
    seconds: float = 0.0
    amount: float = 0.0
    """CLOCK: seconds; POWER: which commit; WEATHER: which."""

    def __str__(self) -> str:
        return f"{self.at:.3f} {self.act.value} {self.who} for {self.seconds:.3f} ({self.amount:g})"


@dataclass(frozen=True, slots=True)
class Burst:
    """Messages that an edge publishes together."""

    at: float
    who: str
    topic: str
    count: int
    size: int
    """Bytes of each value, about."""
    linger: bool
    """Whether they may wait for others, as their topic says; else they are committed at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a seed decides."""

    seed: int
    edges: tuple[str, ...]
    streams: bool
    weather: Faults
    seconds: float
    bursts: tuple[Burst, ...]
    events: tuple[Event, ...]
    checkpoint: int
    """Pages after which SQLite writes its log back: few, so that power fails in the middle of that too."""

    def lines(self) -> list[str]:
        """The plan for people."""
        fleet = f"seed {self.seed}: hub and {', '.join(self.edges)}{' with streams' if self.streams else ''}"
        load = sum(burst.count for burst in self.bursts)
        return [
            f"{fleet}, {load} messages in {self.seconds:.0f} s, {self.weather}",
            *(f"  {event}" for event in self.events),
        ]


def plan(seed: int) -> Plan:
    """The plan of a seed."""
    lot = random.Random(f"kos-edge simulator {seed}")
    edges = EDGES[: lot.choices((1, 2, 3), (5, 3, 1))[0]]
    seconds = lot.choice((3.0, 6.0, 12.0))
    bursts = [
        _burst(lot, edge, lot.uniform(0.0, seconds)) for edge in edges for _ in range(lot.randint(2, 12))
    ]
    events = [_event(lot, edges, seconds) for _ in range(lot.randint(1, 7))]
    if len(edges) == 1:
        events = [event for event in events if event.act is not Act.REVOKE]
    return Plan(
        seed,
        edges,
        streams=lot.random() < 0.25,
        weather=lot.choice(WEATHERS),
        seconds=seconds,
        bursts=tuple(sorted(bursts, key=lambda burst: burst.at)),
        events=tuple(sorted(events, key=lambda event: event.at)),
        checkpoint=lot.choice((1000, 16)),
    )


def _burst(lot: random.Random, who: str, at: float) -> Burst:
    count = lot.choice((1, 1, 3, 10, 40))
    size = lot.choice((8, 8, 8, 60, 400)) if count > 1 else lot.choice((8, 200, 3_000))
    return Burst(at, who, lot.choice(TOPICS), count, size, linger=lot.random() < 0.5)


def _event(lot: random.Random, edges: tuple[str, ...], seconds: float) -> Event:
    act = lot.choices(tuple(_WEIGHTS), tuple(_WEIGHTS.values()))[0]
    only_edges = act in (Act.MOVE, Act.REVOKE, Act.CUT)
    who = lot.choice(edges if only_edges else (HUB, *edges))
    lasts = lot.choice((0.05, 0.5, 2.0, 8.0)) * lot.uniform(0.5, 1.5)
    amount = 0.0
    if act is Act.CLOCK:
        amount = lot.choice(CLOCK_STEPS)
    elif act is Act.POWER:
        amount = float(lot.randrange(4))
    elif act is Act.WEATHER:
        amount = float(lot.randrange(len(WEATHERS)))
    return Event(lot.uniform(0.0, seconds), act, who, lasts, amount)
