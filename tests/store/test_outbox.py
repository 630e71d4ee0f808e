"""The outbox on real SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from kos_edge.delivery.receipts import Settled
from kos_edge.klp.body import Data
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Boundary, Class, Message, unseal
from kos_edge.store.outbox import SETTLED_RUNS, Stamp
from kos_edge.store.store import Store
from tests.delivery.world import MESH, Source


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(KeyPair.from_seed(bytes(32)), Store(tmp_path / "kos.db"))


def test_numbers_rise_without_a_gap_and_packs_verify(source: Source) -> None:
    source.append(list(range(100)))
    source.append(list(range(3)))
    packs = [unseal(entry.pack.raw, source.key.public, MESH) for entry in source.store.packs.read(0)]
    assert [pack.first for pack in packs] == [1, *[pack.last + 1 for pack in packs[:-1]]]
    assert packs[-1].last == 103
    assert all(len(pack.raw) <= 1000 for pack in packs)


def test_each_pack_names_the_one_before_it_across_restarts(source: Source) -> None:
    source.append([1])
    source.append([2])
    source.restart()
    source.append([3])
    first, second, third = [entry.pack for entry in source.store.packs.read(0)]
    assert first.prev is None
    assert second.prev == first.chain_hash
    assert third.prev == Boundary(first.stream.epoch, 2, second.chain_hash)
    assert third.first == 1
    assert third.stream.epoch > first.stream.epoch


def test_what_was_owed_is_still_owed_after_a_restart(source: Source, tmp_path: Path) -> None:
    source.append(list(range(100)))
    source.store.close()
    again = Store(tmp_path / "kos.db")
    again.own(source.key.kid)
    (owed,) = again.outbox.owed()
    assert (owed.first, owed.last) == (1, 100)
    loads = again.outbox.take(owed.stream, 40, 1 << 20, Stamp(0, None, None), 0.0)
    assert loads[0].last > 40
    assert loads[-1].last == 100


def test_a_message_larger_than_a_datagram_has_its_own_pack(source: Source) -> None:
    source.append(["x" * 5000, 1, "y" * 60_000])
    assert [entry.pack.count for entry in source.store.packs.read(0)] == [1, 1, 1]


def test_a_message_that_has_outlived_its_ttl_leaves_its_place_in_a_pack_that_verifies(source: Source) -> None:
    lane = ("hub", Class())
    messages = [Message("a", Data(1), ttl_s=5), Message("a", Data(2))]
    source.store.database.transact(
        [
            lambda: source.store.outbox.append(
                source.key, MESH, lane, messages, Stamp(1000, None, None), settle=False
            )
        ]
    )
    (owed,) = source.store.outbox.owed()
    fresh, old = (
        unseal(
            source.store.outbox.take(owed.stream, 0, 1, Stamp(now, None, None), 0.0)[0].pack,
            source.key.public,
            MESH,
        )
        for now in (2000, 7000)
    )
    assert [type(item).__name__ for _, item in fresh.messages()] == ["Message", "Message"]
    assert [type(item).__name__ for _, item in old.messages()] == ["Removed", "Message"]


def settle(source: Source, settled: Settled) -> None:
    source.store.database.transact([lambda: source.store.outbox.settle(settled)])


def test_however_scattered_what_is_settled_it_is_bounded_and_nothing_stays_owed(source: Source) -> None:
    lane, most = ("hub", Class(fresh=True)), 4 * SETTLED_RUNS
    messages = [Message("air.temperature", Data(value)) for value in range(most)]
    outbox, stamp = source.store.outbox, Stamp(1000, None, None)
    source.store.database.transact(
        [lambda: outbox.append(source.key, MESH, lane, messages, stamp, settle=False, most=1)]
    )
    (owed,) = source.store.outbox.owed()
    row = source.store.streams.find(owed.stream)
    assert row is not None
    settle(source, Settled(owed.stream, 0, ranges=tuple((number, number) for number in range(2, most, 2))))
    assert len(row.spans.runs) == SETTLED_RUNS
    assert len(outbox.waiting(owed.stream)) == most - SETTLED_RUNS, "the rest is owed as before"
    settle(source, Settled(owed.stream, 0, ranges=((3, most),)))
    assert [waiting.last for waiting in source.store.outbox.waiting(owed.stream)] == [1]
    settle(source, Settled(owed.stream, most))
    assert source.store.outbox.owed() == []
    assert row.spans.ranges == ()
