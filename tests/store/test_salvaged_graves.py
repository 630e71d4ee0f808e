"""A salvage finds former versions of pages in the log: what was dropped or numbered anew does not come back."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from kos_edge.delivery.receipts import Settled
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Class
from kos_edge.klp.tombstone import unseal_tombstone
from kos_edge.store.salvage import Rescue, salvage
from kos_edge.store.store import Store
from kos_edge.store.takeover import renumber
from tests.delivery.world import MESH, Source, bury

KEY = KeyPair.from_seed(bytes(32))
FRESH = ("hub", Class(fresh=True))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Sixty packs of one message wait."""
    source = Source(KEY, Store(tmp_path / "kos.db"))
    source.store.database.transact([lambda: source.store.database.put("mesh", MESH)])
    for number in range(60):
        source.append([number])
    return source


def salvaged(source: Source, left: Path, *, without: Sequence[bytes] = ()) -> Store:
    """What comes of the file and its log as a power cut leaves them, `without` these packs."""
    left.mkdir()
    if without:  # in the file, where what is around them is not lost with them
        source.store.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database = Path(source.store.database.path)
    for file in (database, database.with_name(f"{database.name}-wal")):
        shutil.copy(file, left / file.name)
        for raw in without:
            data = (left / file.name).read_bytes()
            (left / file.name).write_bytes(data.replace(raw, bytes(len(raw))))
    source.store.close()
    salvage(left / database.name, Rescue(KEY, dict, lambda: "now"))
    store = Store(left / database.name)
    store.own(KEY.kid)
    return store


def owed(store: Store) -> list[tuple[int, int]]:
    return [
        (each.first, each.last)
        for each in (e for o in store.outbox.owed() for e in store.outbox.waiting(o.stream))
    ]


def test_what_was_dropped_stays_under_its_tombstone(source: Source, tmp_path: Path) -> None:
    for low in range(1, 40, 4):
        bury(source, range(low, low + 4))
    store = salvaged(source, tmp_path / "left")
    assert owed(store) == [(1, 40), *((number, number) for number in range(41, 61))]
    store.close()


def test_what_was_numbered_anew_has_its_new_number(source: Source, tmp_path: Path) -> None:
    (old,) = (each.stream for each in source.store.outbox.owed())
    source.restart()
    source.store.database.transact([lambda: renumber(source.store, KEY, MESH, [old])])
    store = salvaged(source, tmp_path / "left")
    assert owed(store) == [(number, number) for number in range(1, 61)]
    assert [each.stream.epoch for each in store.outbox.owed()] == [source.store.outbox.epoch]
    assert store.outbox.tombstones.messages == 0
    store.close()


def test_of_a_fresh_first_stream_what_was_lost_is_told_and_what_was_settled_is_not(
    source: Source, tmp_path: Path
) -> None:
    outbox = source.store.outbox
    for number in range(9):
        source.append([number], FRESH)
    (stream,) = (each.stream for each in outbox.owed() if each.stream.cls.fresh)
    source.store.database.transact([partial(outbox.settle, Settled(stream, 1, ranges=((4, 6),)))])
    packs = [each.pack for each in source.store.packs.read(0, 100) if each.pack.stream == stream]
    store = salvaged(source, tmp_path / "left", without=[packs[seq - 1].raw for seq in (2, 4, 8, 9)])
    waiting = store.outbox.waiting(stream)
    assert [(each.first, each.last, each.gone and each.gone.name) for each in waiting] == [
        (2, 2, "DAMAGED"), (3, 3, None), (7, 7, None), (8, 9, "DAMAGED")
    ]  # fmt: skip
    second, last = (
        unseal_tombstone(store.packs.sealed(each.id), KEY.public, MESH) for each in waiting if each.gone
    )
    assert (second.prev, second.chain_hash) == (packs[0].chain_hash, packs[2].prev)
    assert (last.prev, last.chain_hash) == (packs[6].chain_hash, packs[8].chain_hash)
    store.close()
