"""Housekeeping: retention of the journal, and what ages out of it and of the outbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from kos_edge.errors import KosError
from kos_edge.klp.message import Reason
from kos_edge.klp.stream import Stream
from kos_edge.node.readers import Readers
from kos_edge.node.sections import JournalSection
from kos_edge.node.trust import Trust
from kos_edge.node.uptime import Uptime
from kos_edge.said import Said
from kos_edge.store.outbox import Waiting
from kos_edge.store.store import Store
from kos_edge.store.writer import Writer

EVERY_S = 60.0
BATCH = 256  # packs in one transaction, so that nobody waits for long
OUTCOMES_KEPT_MS = 24 * 3600 * 1000
MAX_OUTCOMES = (
    65_536  # of commands; a member that commands in a loop pushes the oldest out, which are long answered
)
JUMP_MS = 3600 * 1000  # a wall clock that moved so much more or less than time has passed was set
STEADY_MS = 24 * 3600 * 1000  # for so long it must have gone on undisturbed before anything is too old by it

log = logging.getLogger(__name__)


class Housekeeping:
    """Lets go of what is delivered and old, in small steps. `buried` is told of streams that have new tombstones."""

    def __init__(
        self,
        writer: Writer,
        trust: Trust,
        uptime: Uptime,
        journal: JournalSection,
        readers: Readers,
        buried: Callable[[Stream], None],
    ) -> None:
        self._writer = writer
        self._trust = trust
        self._uptime = uptime
        self._journal = journal
        self._readers = readers
        self._buried = buried
        self.expired = 0
        self._offset_ms = 0
        self._steady_since: int | None = None

    async def run(self) -> None:
        """Every minute, for as long as the node runs."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                gone = BATCH
                while gone == BATCH:
                    gone = await self._writer.run(self._prune)
                await self._writer.run(self._forget)
                await self._expire()
            except KosError as error:
                log.warning("nothing can be let go of now: %s", error, extra=Said.NOT_KEPT.of())

    def _forget(self, store: Store) -> None:
        """What others can make us remember, and nobody needs any more."""
        store.journal.forget_old_epochs()
        store.records.trim_outcomes(MAX_OUTCOMES)
        self._readers.tidy(store, self._uptime.ms(), round(self._journal.keep_for_s * 1000))

    async def _expire(self) -> None:
        """What waits and whose ttl has run out leaves a tombstone. Ages that nobody knows expire nothing."""
        now = self._uptime.stamp()
        found = await self._writer.read(lambda store: store.outbox.expired(now))
        for stream, packs in found.items():
            for start in range(0, len(packs), BATCH):
                gone = await self._writer.run(partial(self._bury, stream, packs[start : start + BATCH]))
                self.expired += gone
                if gone:
                    self._buried(stream)
                    log.info(
                        "%d messages for %s have outlived their ttl",
                        gone,
                        stream.audience,
                        extra=Said.EXPIRED.of(audience=stream.audience, count=gone),
                    )

    def _bury(self, stream: Stream, packs: list[Waiting], store: Store) -> int:
        mesh = self._trust.mesh
        if mesh is None:
            return 0
        return store.outbox.bury(stream, packs, Reason.EXPIRED, self._trust.key, mesh)

    def _prune(self, store: Store) -> int:
        keep_ms = round(self._journal.keep_for_s * 1000)
        wall_ms = self._steady_wall_ms(keep_ms)
        if wall_ms:
            store.records.forget_outcomes(wall_ms - OUTCOMES_KEPT_MS)
        now_ms = (self._uptime.steady_ms() or 0) if wall_ms else 0  # by what packs are stamped with
        return store.journal.prune(now_ms, self._journal.max_bytes, keep_ms, self._trust.own_kids, BATCH)

    def _steady_wall_ms(self, keep_ms: int) -> int:
        """The wall clock, 0 while it is not set or was set a short while ago: a mistake must not cost the journal."""
        wall_ms, now_ms = self._uptime.wall_ms(), self._uptime.ms()
        if wall_ms is None:
            self._steady_since = None
            return 0
        if self._steady_since is None or abs(wall_ms - now_ms - self._offset_ms) > JUMP_MS:
            self._steady_since = now_ms
        self._offset_ms = wall_ms - now_ms
        return wall_ms if now_ms - self._steady_since >= min(STEADY_MS, keep_ms) else 0
