"""Readers of the journal that are gone for good: their cursors would hold its retention up for ever."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from kos_edge.klp import cbor
from kos_edge.said import Said
from kos_edge.store.store import Store

KEY = "readers away"
DAY_MS = 24 * 3600 * 1000
MAX_READERS = 1_000  # that are remembered as away; a node has as many handlers at most

log = logging.getLogger(__name__)


class Readers:
    """`present` names the readers that run. How long the others are away is counted in uptime, over restarts too."""

    def __init__(self, present: Callable[[], Iterable[str]]) -> None:
        self._present = present

    def tidy(self, store: Store, uptime_ms: int, keep_ms: int) -> list[str]:
        """Forget the cursors of readers that were away for `keep_ms`, a day at least; inside a transaction."""
        raw = store.database.get(KEY)
        before: dict[str, int] = {} if raw is None else dict(cbor.decode(raw))
        present = set(self._present())
        away = {
            name: before.get(name, uptime_ms)
            for name in store.records.cursors()[:MAX_READERS]
            if name not in present
        }
        gone = [name for name, since in away.items() if uptime_ms - since >= max(keep_ms, DAY_MS)]
        for name in gone:
            del away[name]
            store.records.forget_cursor(name)
            log.warning(
                "%s has read nothing for long and is forgotten; it begins anew if it comes back",
                name,
                extra=Said.READER_FORGOTTEN.of(handler=name),
            )
        if away != before:
            store.database.put(KEY, cbor.encode(away) if away else None)
        return gone
