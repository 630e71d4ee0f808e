"""A disk with no room: who goes on, who is refused, and what is let go of."""

from __future__ import annotations

from pathlib import Path

import pytest

from kos_edge.delivery.receipts import Settled
from kos_edge.errors import Unavailable
from kos_edge.klp.identity import KeyPair
from kos_edge.store.space import RESERVE_BYTES, ROOM_BYTES
from kos_edge.store.store import Store
from tests.delivery.world import Source, values

LIMIT = "PRAGMA max_page_count = {}"


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(KeyPair.from_seed(bytes(32)), Store(tmp_path / "kos.db"))


def reserve_of(source: Source) -> Path:
    return Path(source.store.database.path).with_name("kos.db.reserve")


def fill(source: Source) -> None:
    """SQLite itself says that there is no room: the file may not grow by a page."""
    (pages,) = source.store.database.execute("PRAGMA page_count").fetchone()
    source.store.database.execute(LIMIT.format(pages))


def test_the_reserve_is_on_the_disk_from_the_first_start(source: Source) -> None:
    assert reserve_of(source).stat().st_blocks * 512 >= RESERVE_BYTES


def test_a_full_disk_refuses_the_message_and_takes_the_next_when_there_is_room(source: Source) -> None:
    source.append([1])
    fill(source)
    with pytest.raises(Unavailable, match="no space left"):
        source.append(["x" * 5_000])
    source.store.database.execute(LIMIT.format(1_000_000))
    source.append([2])
    assert values(source.store) == [1, 2]
    assert source.store.troubles() == []
    assert reserve_of(source).exists()


def test_while_no_reserve_can_be_made_only_messages_are_refused(source: Source) -> None:
    source.append([1])
    reserve_of(source).unlink()
    reserve_of(source).mkdir()  # no reserve can stand here
    source.store.database.space.full = True
    source.store.database.space.release()
    with pytest.raises(Unavailable, match="no space left"):
        source.append([2])
    assert "is full" in source.store.troubles()[0]
    stream = source.store.outbox.owed()[0].stream
    source.store.database.transact([lambda: source.store.outbox.settle(Settled(stream, 1))])
    assert source.store.outbox.owed() == []
    reserve_of(source).rmdir()
    source.store.database.space.look()
    source.append([3])
    assert values(source.store) == [1, 3]


def test_what_was_delivered_makes_room_for_what_is_new(source: Source) -> None:
    source.append(["x" * 3_000 for _ in range(ROOM_BYTES // 1_000)])
    stream = source.store.outbox.owed()[0].stream
    held = source.store.outbox.owed()[0].last
    source.store.database.transact([lambda: source.store.outbox.settle(Settled(stream, held))])
    reserve_of(source).unlink()
    reserve_of(source).mkdir()
    source.store.database.space.release()
    source.append(["new"])
    assert values(source.store)[-1] == "new"
    assert len(values(source.store)) < ROOM_BYTES // 1_000
