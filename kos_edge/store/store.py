"""One node's store: the outbox, the journal and the records over one database."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from kos_edge.errors import Invalid
from kos_edge.klp.sealed import Sealed
from kos_edge.store.database import Damaged, Database, store_error
from kos_edge.store.journal import Journal
from kos_edge.store.latest import Latest
from kos_edge.store.outbox import Outbox
from kos_edge.store.packs import Packs
from kos_edge.store.records import Records
from kos_edge.store.salvage import SALVAGE_KEY, Rescue, Salvaged, finish, salvage
from kos_edge.store.streams import Streams


class Store:
    """Everything durable; used from one thread at a time (`store.writer`).

    With a `rescue` a damaged file is salvaged when it is opened, and by `salvage`; without, Damaged is raised.
    """

    def __init__(self, path: Path | str, rescue: Rescue | None = None) -> None:
        self._path = path
        self._rescue = rescue
        self._own: tuple[bytes, ...] = ()
        self.prove: Callable[[Sealed], bool] = lambda sealed: True
        """Whether its source has signed what another process has written; True where that cannot be told."""
        self.keep: Callable[[dict[str, bytes]], None] = lambda meta: None
        """Keeps a copy of `meta` outside of the file."""
        self.equip: Callable[[Store], None] = lambda store: None
        """Gives the parts what they need from outside: called again when a salvage has made them anew."""
        if isinstance(path, Path):
            finish(path)
        try:
            if isinstance(path, Path) and rescue is not None and _is_gone(path) and rescue.kept():
                raise Damaged(f"{path} is gone or empty")
            self._open()
        except Damaged:
            if self._rescue is None or not isinstance(path, Path):
                raise
            salvage(path, self._rescue)
            self._open()

    def _open(self, *, above: int = 0) -> None:
        self.database = Database(self._path)
        try:
            self.streams = Streams(self.database)
            self.packs = Packs(self.database, lambda sealed: self.prove(sealed), above=above)
            self.outbox = Outbox(self.database, self.streams, self.packs)
            self.journal = Journal(self.database, self.streams, self.packs)
            self.records = Records(self.database)
            self.latest = Latest(self.database)
            found = self.database.get(SALVAGE_KEY)
        except sqlite3.Error as error:
            self.database.close()
            raise store_error(error, self._path) from error
        except (Invalid, TypeError, ValueError) as error:  # SQLite has no checksum: it gives what it finds
            self.database.close()
            raise Damaged(f"{self._path} is damaged ({error})") from error
        self.database.on_commit(self.streams.write, self._reload)
        self.database.on_full(lambda: self.journal.make_room(self._own))
        self.database.on_meta(lambda meta: self.keep(meta))
        self._salvaged = None if found is None else Salvaged.decode(found)

    def own(self, *kids: bytes) -> None:
        """Say whose store this is, by the key that it has and those that it had; counts what is owed."""
        self._own = kids
        try:
            self.outbox.load(kids)
        except (Invalid, TypeError, ValueError) as error:
            raise Damaged(f"{self._path} is damaged ({error})") from error

    def salvage(self) -> bool:
        """The file has turned out to be damaged: go on with what can be proven of it, in an epoch of its own.

        False where nothing can be done here.
        """
        if self._rescue is None or not isinstance(self._path, Path):
            return False
        epoch, last_id = self.outbox.epoch, self.packs.last_id
        with contextlib.suppress(sqlite3.Error):
            self.database.close()
        salvage(self._path, self._rescue)
        self._open(above=last_id)  # readers that run have come so far
        self.equip(self)
        self.outbox.load(self._own)
        if epoch:
            random = self._rescue.random
            self.database.transact([lambda: self.outbox.open_epoch(random)])
        return True

    def troubles(self) -> list[str]:
        """What a person should know of the disk under it and of what it has cost, a line each."""
        found = [text for text in (self.database.trouble, self.database.space.trouble) if text is not None]
        if self._salvaged is not None and isinstance(self._path, Path):
            aside = self._path.with_name(self._salvaged.aside)
            if aside.exists():
                found.append(f"{self._salvaged.text}; delete it when it is not needed any more")
        if unreadable := self.latest.unreadable:
            found.append(
                f"{unreadable:,} newest values of topics are damaged, until the next ones take their places"
            )
        return found

    def _reload(self) -> None:
        self.streams.load()
        self.packs.load()
        self.journal.load()
        self.outbox.load(self._own)
        self.latest.load()

    def close(self) -> None:
        """Close the file."""
        self.database.close()


def _is_gone(path: Path) -> bool:
    """Whether there is nothing where a store has been: SQLite would take that for a new one."""
    return not path.exists() or path.stat().st_size == 0
