"""Which confirmable messages have come, and what was said to them (RFC 7252 section 4.2).

A repeated message gets the same answer again. The memory is bounded in count, bytes and time, since anybody
can fill it; what falls out of it is caught by the replay window of its session. Strangers have one of their own
(`exchange`), so that they push nothing of a member's out.

A copy is as long as what it repeats. A shorter message under the same id and token gets nothing: the answer was
measured against the first one, and whoever forges source addresses would have it sent for four bytes.
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

MAX_SEEN_OF_STRANGERS: Final = 1_024
"""The same for whoever has not proved a key."""

MAX_ANSWERS_OF_STRANGERS: Final = 256 * 1024
"""Bytes of answers to them: four hundred handshakes, more than wait at one time."""

Key = tuple[Address, int, bytes]
"""Source, message id and token: a fast sender uses a message id again before its time, but not with its
token.
"""


class Repeats:
    """The memory. Times are monotonic seconds that never fall, sizes are bytes of the datagram."""

    def __init__(self, most_seen: int = MAX_SEEN, most_answers: int = MAX_ANSWERS) -> None:
        self.answer_bytes = 0
        self._most_seen, self._most_answers = most_seen, most_answers
        self._seen: dict[Key, tuple[float, int]] = {}
        self._answers: dict[Key, tuple[float, bytes]] = {}

    @property
    def count(self) -> int:
        """Messages that are known."""
        return len(self._seen)

    def __contains__(self, key: Key) -> bool:
        return key in self._seen

    def look(self, key: Key, size: int, now: float) -> tuple[bool, bytes | None]:
        """Whether this message has come before, and the answer to repeat if there is one."""
        at, first_size = self._seen.get(key, (float("-inf"), 0))
        if at < now - EXCHANGE_LIFETIME:
            return False, None
        kept = self._answers.get(key)
        if kept is None or kept[0] < now - MAX_TRANSMIT_SPAN or size < first_size:
            return True, None
        return True, kept[1]

    def came(self, key: Key, size: int, now: float) -> None:
        """A message has come for the first time."""
        self._seen.pop(key, None)  # so that the oldest stay first
        self._seen[key] = (now, size)
        while len(self._seen) > self._most_seen or self._oldest() < now - EXCHANGE_LIFETIME:
            self.forget(next(iter(self._seen)))

    def answered(self, key: Key, data: bytes, now: float) -> None:
        """This was said to it."""
        self._drop_answer(key)
        self._answers[key] = (now, data)
        self.answer_bytes += len(data)
        while self.answer_bytes > self._most_answers or self._oldest_answer() < now - MAX_TRANSMIT_SPAN:
            self._drop_answer(next(iter(self._answers)))

    def forget(self, key: Key) -> None:
        """As if it had never come."""
        self._seen.pop(key, None)
        self._drop_answer(key)

    def _oldest(self) -> float:
        return next(iter(self._seen.values()))[0]

    def _oldest_answer(self) -> float:
        return next(iter(self._answers.values()))[0]

    def _drop_answer(self, key: Key) -> None:
        kept = self._answers.pop(key, None)
        if kept is not None:
            self.answer_bytes -= len(kept[1])
