"""How long a card will live as things go: a machine over what was written to it.

Flash wears out with what is written. A maker says how much that may be, or nobody does; then it is assumed to be
`FILLS` times its size. That is the low end of what cheap cards bear: about 1,000 cycles a block, of which small
synced writes waste nine tenths.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

FILLS = 100
EVERY_S = 600.0
"""How often a sample is kept."""
KEPT = 144
"""So many samples: a day."""
LEAST_S = 600.0
"""Over less than this nothing is said of a rate: one upgrade is no habit."""

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes written to the device by everybody and by this process, at monotonic second `at`."""

    at: float
    device: int
    own: int | None


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes a day, over the last `measured_s`."""

    device: float
    own: float | None
    measured_s: float


class Wear:
    """The samples of a day."""

    def __init__(self) -> None:
        self._samples: deque[Written] = deque(maxlen=KEPT)

    def sample(self, now: Written) -> None:
        """What was written by now; kept where the last one is old enough. A device that counts anew begins anew."""
        if self._samples and now.device < self._samples[-1].device:
            self._samples.clear()
        if not self._samples or now.at - self._samples[-1].at >= EVERY_S:
            self._samples.append(now)

    def rate(self, now: Written) -> Rate | None:
        """Since the oldest sample; None while that is too young."""
        if not self._samples:
            return None
        oldest = self._samples[0]
        passed = now.at - oldest.at
        if passed < LEAST_S or now.device < oldest.device:
            return None
        own = None if now.own is None or oldest.own is None else max(0, now.own - oldest.own) / passed * DAY_S
        return Rate((now.device - oldest.device) / passed * DAY_S, own, passed)


def since_start(device: int, uptime_s: float | None) -> Rate | None:
    """The rate since the machine's start, where nobody has watched for longer."""
    if uptime_s is None or uptime_s < LEAST_S:
        return None
    return Rate(device / uptime_s * DAY_S, None, uptime_s)


def left_s(endurance_bytes: int, used: float | None, rate: Rate) -> float | None:
    """Seconds until `endurance_bytes` are written, of which a part is `used`; None where nothing is written."""
    left = endurance_bytes * (1 - (used or 0.0))
    return left / rate.device * DAY_S if rate.device > 0 else None
