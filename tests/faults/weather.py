"""What R08 does to a network and to a receiver: a script by seed, the same for us and for other systems.

It says when what happens, in seconds from the beginning of the load, and knows nothing of whom it happens to:
`r08_bad_network` plays it to whole nodes in virtual time; a row of another system plays it to a relay and a process.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum, auto

LOSS, DUPLICATE, REORDER, CORRUPT = 0.1, 0.1, 0.3, 0.02
"""Shares of the datagrams. A stream knows none of them: what carries TCP flaps and is killed."""

DELAY_S, JITTER_S = 0.02, 0.01
"""One way."""

BURST, EVERY_S = 5, 0.1
"""The load: so many readings together, and how often."""


class Event(Enum):
    """What happens at a step."""

    CUT = auto()  # the link: nothing passes in either direction
    MEND = auto()
    KILL = auto()  # the receiver, with SIGKILL
    START = auto()  # it again, on the same state


@dataclass(frozen=True, slots=True)
class Step:
    """One event, `at` seconds after the load began."""

    at: float
    event: Event


def script(seed: int, seconds: float = 12.0) -> tuple[Step, ...]:
    """The steps of a load of so many seconds, in order of time; at the end the link is whole and the receiver runs."""
    lot = random.Random(f"weather {seed}")
    steps: list[Step] = []
    for begin, end, least, most in (
        (Event.CUT, Event.MEND, 0.3, 2.0),
        (Event.KILL, Event.START, 0.2, 1.0),
    ):
        at = lot.uniform(0.2, 3.0)
        while at < seconds:
            steps.append(Step(at, begin))
            at += lot.uniform(least, most)
            steps.append(Step(at, end))
            at += lot.uniform(0.5, 4.0)
    return tuple(sorted(steps, key=lambda step: step.at))
