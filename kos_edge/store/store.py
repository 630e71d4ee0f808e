"""One node's store: the outbox, the journal and the records over one database."""

from __future__ import annotations

from pathlib import Path

from kos_edge.store.database import Database
from kos_edge.store.journal import Journal
from kos_edge.store.outbox import Outbox
from kos_edge.store.packs import Packs
from kos_edge.store.records import Records
from kos_edge.store.streams import Streams


class Store:
    """Everything durable; used from one thread at a time (`store.writer`)."""

    def __init__(self, path: Path | str) -> None:
        self.database = Database(path)
        self.streams = Streams(self.database)
        self.packs = Packs(self.database)
        self.outbox = Outbox(self.database, self.streams, self.packs)
        self.journal = Journal(self.database, self.streams, self.packs)
        self.records = Records(self.database)
        self._own: tuple[bytes, ...] = ()
        self.database.on_commit(self.streams.write, self._reload)
        self.database.on_full(lambda: self.journal.make_room(self._own))

    def own(self, *kids: bytes) -> None:
        """Say whose store this is, by the key that it has and those that it had; counts what is owed."""
        self._own = kids
        self.outbox.load(kids)

    def troubles(self) -> list[str]:
        """What a person should know of the disk under it, a line each."""
        return [text for text in (self.database.trouble, self.database.space.trouble) if text is not None]

    def _reload(self) -> None:
        self.streams.load()
        self.packs.load()
        self.journal.load()
        self.outbox.load(self._own)

    def close(self) -> None:
        """Close the file."""
        self.database.close()
