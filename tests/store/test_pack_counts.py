"""How much is kept is counted once, and is right from then on whatever comes and goes."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from kos_edge.klp.body import Data
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.message import Reason
from kos_edge.klp.pack import Class, Message, prepare
from kos_edge.node.fullness import limits_of
from kos_edge.node.sections import QueueSection
from kos_edge.store.owed import Stamp
from kos_edge.store.store import Store

KEY = KeyPair.from_seed(bytes(32))
MESH = bytes(32)
LANE = ("hub", Class())


def counted(store: Store) -> tuple[int, Counter[Reason]]:
    return store.packs.messages(), store.packs.gone()


def counted_anew(store: Store) -> tuple[int, Counter[Reason]]:
    store.packs.load()
    return counted(store)


@pytest.mark.parametrize("seed", range(5))
def test_counts_follow_what_is_appended_dropped_and_deleted(seed: int, tmp_path: Path) -> None:
    lot = random.Random(seed)
    store = Store(tmp_path / "kos.db")
    store.own(KEY.kid)
    store.database.transact([lambda: store.outbox.open_epoch(bytes)])

    store.outbox.limits = limits_of(QueueSection(max_messages=30, when_full="drop-oldest"))

    def append() -> object:
        messages = [
            prepare(Message("a.b", Data("x" * lot.randrange(200)))) for _ in range(lot.randrange(1, 9))
        ]
        stamp = Stamp(1_000, 1_800_000_000_000, 100, 1_800_000_000_000)
        return store.outbox.append(KEY, MESH, LANE, messages, stamp, settle=False)

    assert counted(store) == (0, Counter())
    for _ in range(40):
        (done,) = store.database.transact([append])
        assert not isinstance(done, Exception)
    before = counted(store)
    assert before == counted_anew(store)
    assert before[1][Reason.DROPPED] > 0
    for entry in store.packs.read(0)[::2]:
        size = len(store.packs.sealed(entry.id))
        store.database.transact([partial(store.packs.delete, entry.id, size)])
    assert counted(store)[0] < before[0]
    assert counted(store) == counted_anew(store)
    store.close()
