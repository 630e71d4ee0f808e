"""How often a subscriber has tried a message, over restarts too: what breaks its handler is set aside in the end.

What failed is written at once. One that ends the process itself leaves no word of it: so the first messages after a
start, which may have been what ended the last one, are counted before they are tried, and not counted again where they
went well.
"""

from __future__ import annotations

import logging

from kos_edge.errors import KosError
from kos_edge.store.records import Dead
from kos_edge.store.store import Store
from kos_edge.store.writer import Writer

AFTER_S = (1.0, 5.0, 15.0)  # before a message is tried again; spec.md 2
MOST = len(AFTER_S) + 1
BURIED = (
    MOST + 1
)  # counted as tried once more: the dead letter is written, and not again when the entry is repeated
DOUBTED = (
    32  # messages after a start that are counted first: a commit each, and each start gets further by so many
)

log = logging.getLogger(__name__)


class Attempts:
    """Of one named subscriber. `load` before anything else."""

    def __init__(self, writer: Writer, name: str) -> None:
        self._writer = writer
        self._name = name
        self._counts: dict[str, int] = {}
        self._doubtful = 0
        self._doubted_to = 0
        self._written: set[str] = set()

    async def load(self) -> None:
        """Read what earlier processes have counted."""

        def work(store: Store) -> tuple[dict[str, int], int]:
            return store.records.attempts(self._name), store.packs.last_id

        self._counts, self._doubted_to = await self._writer.read(work)
        self._written = set(self._counts)
        self._doubtful = DOUBTED

    def count(self, ident: str) -> int:
        """How often this message was tried."""
        return self._counts.get(ident, 0)

    async def begin(self, ident: str, entry: int) -> None:
        """It is tried now."""
        if 0 < entry <= self._doubted_to and self._doubtful:
            self._doubtful -= 1
            await self._write(ident, entry, self.count(ident) + 1)
        self._counts[ident] = self.count(ident) + 1

    async def failed(self, ident: str, entry: int) -> None:
        """The handler raised."""
        await self._write(ident, entry, self.count(ident))

    async def broken_off(self, ident: str, entry: int) -> None:
        """It was not the message's fault: the attempt does not count."""
        count = self._counts.pop(ident, 1) - 1
        if ident in self._written:
            await self._write(ident, entry, count)

    async def done(self, ident: str, entry: int) -> None:
        """The message is through: whatever ends this process later, it was not this one."""
        if self._counts.pop(ident, 0) and ident in self._written:
            await self._write(ident, entry, 0)
            self._written.discard(ident)

    async def bury(self, letter: Dead, entry: int) -> None:
        """Set the message aside. Raises KosError where the store does not take it."""

        def work(store: Store) -> None:
            store.records.bury(letter)
            store.records.trim_dead()
            if entry:
                store.records.attempted(self._name, letter.id, entry, BURIED)

        await self._writer.run(work)
        self._counts.pop(letter.id, None)
        self._written.discard(letter.id)

    async def _write(self, ident: str, entry: int, count: int) -> None:
        if not entry:  # volatile: it does not outlive this process
            return
        self._written.add(ident)
        try:
            await self._writer.run(lambda store: store.records.attempted(self._name, ident, entry, count))
        except KosError as error:  # a full disk, say: it may be tried once more than it should
            log.debug("an attempt of %s is not written: %s", self._name, error)
