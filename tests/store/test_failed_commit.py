"""What is in memory after a commit that failed: never more than what is on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest

from kos_edge.errors import Unavailable
from kos_edge.klp.identity import KeyPair
from kos_edge.store import sql
from kos_edge.store.journal import Incoming
from kos_edge.store.store import Store
from tests.delivery.world import Source, values


class Disk:
    """Fails at the statements that `fails` names, and before commits while `commits` is False."""

    def __init__(self, store: Store) -> None:
        self.commits = True
        self.fails: set[str] = set()
        self._execute: Callable[..., sqlite3.Cursor] = store.database.execute
        store.database.execute = self.execute  # type: ignore[method-assign, assignment]
        store.database.on_commit(self._hook, lambda: None)

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        if statement in self.fails:
            raise sqlite3.OperationalError("disk I/O error")
        return self._execute(statement, values)

    def _hook(self) -> None:
        if not self.commits:
            raise sqlite3.OperationalError("disk I/O error")


@pytest.fixture
def source() -> Source:
    return Source(KeyPair.from_seed(bytes(32)))


def test_nothing_is_receipted_that_a_failed_commit_took_even_where_the_disk_cannot_be_read_either(
    source: Source,
) -> None:
    source.append([1])
    batch = [Incoming(entry.pack, 0) for entry in source.store.packs.read(0)]
    hub = Store(":memory:")
    disk = Disk(hub)
    disk.commits, disk.fails = False, {sql.STREAMS}
    for _ in range(2):
        with pytest.raises(Unavailable):
            hub.database.transact([lambda: hub.journal.take_in(batch, 1)])
        disk.commits = True
    disk.fails = set()
    hub.database.transact([lambda: hub.journal.take_in(batch, 1)])
    assert values(hub) == [1]


def test_an_epoch_whose_commit_failed_was_never_opened(source: Source) -> None:
    outbox = source.store.outbox
    before = outbox.epoch
    disk = Disk(source.store)
    disk.commits = False
    with pytest.raises(Unavailable):
        source.store.database.transact([lambda: outbox.open_epoch(lambda size: bytes(size))])
    assert outbox.epoch == before, "the one that was open is"
    disk.commits = True
    source.store.database.transact([lambda: outbox.open_epoch(lambda size: bytes(size))])
    assert outbox.epoch > before
