"""Housekeeping: retention of the journal, and what ages out."""

from __future__ import annotations

import asyncio
import logging

from kos_edge.errors import KosError
from kos_edge.node.sections import JournalSection
from kos_edge.node.trust import Trust
from kos_edge.node.uptime import Uptime
from kos_edge.store.store import Store
from kos_edge.store.writer import Writer

EVERY_S = 60.0
BATCH = 256  # packs in one transaction, so that nobody waits for long
OUTCOMES_KEPT_MS = 24 * 3600 * 1000

log = logging.getLogger(__name__)


class Housekeeping:
    """Lets go of what is delivered and old, in small steps."""

    def __init__(self, writer: Writer, trust: Trust, uptime: Uptime, journal: JournalSection) -> None:
        self._writer = writer
        self._trust = trust
        self._uptime = uptime
        self._journal = journal

    async def run(self) -> None:
        """Every minute, for as long as the node runs."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                gone = BATCH
                while gone == BATCH:
                    gone = await self._writer.run(self._prune)
            except KosError as error:
                log.warning("nothing can be let go of now: %s", error)

    def _prune(self, store: Store) -> int:
        wall_ms = self._uptime.wall_ms()
        if wall_ms is not None:
            store.records.forget_outcomes(wall_ms - OUTCOMES_KEPT_MS)
        keep_ms = round(self._journal.keep_for_s * 1000)
        return store.journal.prune(wall_ms or 0, self._journal.max_bytes, keep_ms, self._trust.kid, BATCH)
