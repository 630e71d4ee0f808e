"""How much goes into one request over a stream: as much as the link carries in a quarter of a second.

On a fast link a request is worth filling. On a slow one 64 kB take seconds, in which nothing overtakes them and after
which they are taken for lost.
"""

from __future__ import annotations

from dataclasses import dataclass

SHORT_S = 0.2  # a round trip below this: the next portions may be twice as large
LONG_S = 0.4  # and above this half as large; between them an alarm waits for no longer than that
FIRST = 8_000  # bytes before anything was measured: half a second at 16 kB/s
LEAST = 1_000  # bytes: a datagram's worth


@dataclass(slots=True)
class Portion:
    """The bytes of packs in one request, `most` at most."""

    most: int
    size: int = 0
    _round_from: float = -1.0
    _longest: float = 0.0

    def __post_init__(self) -> None:
        self.size = min(self.most, FIRST)

    def on_answer(self, sent_at: float, delay: float, now: float) -> None:
        """A request was answered, for which the receiver needed `delay` seconds.

        Judged once a round by the slowest of it: by the first answer to what left after the last judgement.
        """
        self._longest = max(self._longest, now - sent_at - delay)
        if sent_at < self._round_from:
            return
        if self._longest < SHORT_S:
            self._become(self.size * 2, now)
        elif self._longest > LONG_S:
            self._become(self.size // 2, now)
        else:
            self._become(self.size, now)

    def on_timeout(self, now: float) -> None:
        """A request had no answer in time."""
        self._become(self.size // 2, now)

    def _become(self, size: int, now: float) -> None:
        self.size = min(self.most, max(size, LEAST))
        self._round_from, self._longest = now, 0.0
