"""How full the queue is: the limits from the configuration, and a word to people before they are reached."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from kos_edge.delivery.limits import Amount, Gauge, Limit, Limits, WhenFull, queue_of
from kos_edge.klp.stream import Priority
from kos_edge.node.sections import QueueSection
from kos_edge.said import Said
from kos_edge.store.store import Store

log = logging.getLogger(__name__)


class Fullness:
    """Reads a gauge for the queue, and one for each priority that has a limit of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._gauges: dict[str, Gauge] = {}

    def look(self) -> None:
        """Log each level that is reached, once until it had fallen below it."""
        for what, limit, amount in self._parts():
            if self._gauges.setdefault(what, Gauge()).read(limit.percent(amount)):
                log.warning("%s", self._text(what, limit, amount), extra=Said.QUEUE_FILLS.of())

    def warnings(self) -> list[str]:
        """What stands at a level now."""
        self.look()
        return [
            self._text(what, limit, amount)
            for what, limit, amount in self._parts()
            if self._gauges[what].level
        ]

    def percent(self) -> float:
        """How full the fullest part is."""
        return max(limit.percent(amount) for _, limit, amount in self._parts())

    def _parts(self) -> Iterator[tuple[str, Limit, Amount]]:
        outbox = self._store.outbox
        limits, standing = outbox.limits, outbox.by_priority
        yield "the queue", limits.whole, sum(standing.values(), Amount())
        for priority, limit in limits.by_priority.items():
            yield queue_of(priority), limit, standing.get(priority, Amount())

    def _text(self, what: str, limit: Limit, amount: Amount) -> str:
        when_full = self._store.outbox.limits.when_full
        then = "new messages are refused" if when_full is WhenFull.REJECT else f"then: {when_full.value}"
        waits = f"{amount.messages:,} messages, {amount.bytes:,} bytes"
        return f"{what} is {limit.percent(amount):.0f} % full ({waits}); {limit}, {then}"


def limits_of(section: QueueSection) -> Limits:
    """The limits in the configuration."""
    by_priority = {}
    for priority in Priority:
        name = priority.name.lower()
        limit = Limit(getattr(section, f"max_messages_{name}"), getattr(section, f"max_bytes_{name}"))
        if limit != Limit():
            by_priority[priority] = limit
    return Limits(Limit(section.max_messages, section.max_bytes), by_priority, WhenFull(section.when_full))
