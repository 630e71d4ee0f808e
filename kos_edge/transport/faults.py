"""What can go wrong on a wire of the network in memory, and what it has carried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

USER_TIMEOUT: Final = 5.0
"""Seconds that bytes wait on a stream whose wire is cut before it is lost: TCP_USER_TIMEOUT of the real
one.
"""

QUEUE: Final = 1.0
"""Seconds that a datagram may wait before a slow wire: the buffer of a bad modem."""

HEADERS: Final = 28
"""Bytes of IPv4 and UDP around each datagram on a wire with a rate."""

TICK: Final = 1e-7
"""Seconds between two deliveries that would fall together: order is kept where nothing reorders."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What happens to datagrams between two hosts: probabilities, and delays in seconds.

    A reordered datagram is late by up to four times `delay` and at least 10 ms. Streams know delay, rate and
    partition only; `chunk` is how many of their bytes arrive together. `rate` is bytes a second each way, 0
    without a limit; a datagram that would wait longer than `QUEUE` for its turn is lost.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    delay: float = 0.001
    jitter: float = 0.0
    chunk: int = 16_384
    rate: float = 0.0


@dataclass(slots=True)
class Traffic:
    """What the network has carried so far."""

    datagrams: int = 0
    datagram_bytes: int = 0
    lost: int = 0
    stream_bytes: int = 0
