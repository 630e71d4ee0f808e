"""Which confirmable messages have come, and what was said to them (RFC 7252 section 4.2).

A repeated message gets the same answer again. The memory is bounded in count, bytes and time, since anybody
can fill it; what falls out of it is caught by the replay window of its session.
"""

from __future__ import annotations

from typing import Final

from kos_edge.transport.address import Address

MAX_TRANSMIT_SPAN: Final = 45.0
"""Seconds in which a message is repeated, RFC 7252 section 4.8.2: so long an answer is kept."""

EXCHANGE_LIFETIME: Final = 247.0
"""Seconds until its last copy has arrived, from the same section: so long a message is known."""

MAX_SEEN: Final = 4_096
"""Messages that are known; beyond it the oldest are forgotten."""

MAX_ANSWERS: Final = 1 << 20
"""Bytes of answers kept; beyond it the oldest are forgotten."""

Key = tuple[Address, int, bytes]
"""Source, message id and token: a fast sender uses a message id again before its time, but not with its
token.
"""


class Repeats:
    """The memory. Times are monotonic seconds that never fall."""

    def __init__(self) -> None:
        self.answer_bytes = 0
        self._seen: dict[Key, float] = {}
        self._answers: dict[Key, tuple[float, bytes]] = {}

    @property
    def count(self) -> int:
        """Messages that are known."""
        return len(self._seen)

    def look(self, key: Key, now: float) -> tuple[bool, bytes | None]:
        """Whether this message has come before, and the answer to repeat if there is one."""
        if self._seen.get(key, float("-inf")) < now - EXCHANGE_LIFETIME:
            return False, None
        kept = self._answers.get(key)
        return True, kept[1] if kept is not None and kept[0] >= now - MAX_TRANSMIT_SPAN else None

    def came(self, key: Key, now: float) -> None:
        """A message has come for the first time."""
        self._seen.pop(key, None)  # so that the oldest stay first
        self._seen[key] = now
        while len(self._seen) > MAX_SEEN or next(iter(self._seen.values())) < now - EXCHANGE_LIFETIME:
            self.forget(next(iter(self._seen)))

    def answered(self, key: Key, data: bytes, now: float) -> None:
        """This was said to it."""
        self._drop_answer(key)
        self._answers[key] = (now, data)
        self.answer_bytes += len(data)
        while self.answer_bytes > MAX_ANSWERS or self._oldest_answer() < now - MAX_TRANSMIT_SPAN:
            self._drop_answer(next(iter(self._answers)))

    def forget(self, key: Key) -> None:
        """As if it had never come."""
        self._seen.pop(key, None)
        self._drop_answer(key)

    def _oldest_answer(self) -> float:
        return next(iter(self._answers.values()))[0]

    def _drop_answer(self, key: Key) -> None:
        kept = self._answers.pop(key, None)
        if kept is not None:
            self.answer_bytes -= len(kept[1])
