"""The journal on real SQLite: retention, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from kos_edge.delivery.receipts import Settled
from kos_edge.delivery.wire import MAX_REFUSALS, Reason, Receipt
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Class
from kos_edge.store.journal import REPEATED, Incoming, Intake
from kos_edge.store.store import Store
from tests.delivery.world import Source, values

Result = TypeVar("Result")
LATER_MS = 10**15


def commit(store: Store, job: Callable[[], Result]) -> Result:
    (result,) = store.database.transact([job])
    assert not isinstance(result, Exception)
    return result  # type: ignore[return-value]


def prune(source: Source) -> int:
    return commit(source.store, lambda: source.store.journal.prune(LATER_MS, 0, 1, (source.key.kid,)))


@pytest.fixture
def source() -> Source:
    return Source(KeyPair.from_seed(bytes(32)))


@pytest.fixture
def other() -> Source:
    return Source(KeyPair.from_seed(bytes([1]) * 32))


def packs_of(source: Source, refused: Reason | None = None) -> list[Incoming]:
    packs = [entry.pack for entry in source.store.packs.read(0, 1000)]
    return [
        Incoming(pack, 0, {} if refused is None else dict.fromkeys(range(pack.first, pack.last + 1), refused))
        for pack in packs
    ]


def take_in(store: Store, batch: list[Incoming]) -> Intake:
    return commit(store, lambda: store.journal.take_in(batch, 1))


def refused_in(receipts: list[Receipt]) -> list[int]:
    return [refusal.seq for receipt in receipts for refusal in receipt.refusals]


def test_what_comes_after_everything_aged_out_is_beyond_every_cursor(source: Source) -> None:
    for value in range(3):
        source.append([value])
    (owed,) = source.store.outbox.owed()
    commit(source.store, lambda: source.store.outbox.settle(Settled(owed.stream, 3)))
    cursor = source.store.packs.last_id
    commit(source.store, lambda: source.store.records.move_cursor("reader", cursor))
    assert prune(source) == 2
    source.append([3])
    assert [entry.pack.first for entry in source.store.packs.read(cursor)] == [4]


def test_what_is_owed_to_an_absent_member_does_not_keep_the_rest_from_ageing_out(
    source: Source, other: Source
) -> None:
    for value in range(300):
        source.append([value], (f"kid:{bytes(16).hex()}", Class()))
    for value in range(5):
        other.append([value])
    take_in(source.store, packs_of(other))
    assert prune(source) == 4  # the newest stays
    assert len(source.store.outbox.lanes()) == 1
    assert source.store.outbox.usage.packs == 300


def test_a_damaged_pack_ages_out_like_any_other(source: Source, other: Source) -> None:
    for value in range(3):
        other.append([value])
    take_in(source.store, packs_of(other))
    commit(source.store, lambda: source.store.database.execute("UPDATE pack SET sealed = x'ff' WHERE id = 1"))
    assert prune(source) == 2


def test_every_refusal_of_a_large_shipment_is_said(source: Source, other: Source) -> None:
    other.append(list(range(3 * MAX_REFUSALS)))
    receipts = take_in(source.store, packs_of(other, Reason.REFUSED)).receipts
    assert sorted(set(refused_in(receipts))) == list(range(1, 3 * MAX_REFUSALS + 1))
    assert all(len(receipt.refusals) <= MAX_REFUSALS for receipt in receipts)


def test_a_refusal_is_said_again_for_its_answer_may_be_lost(source: Source, other: Source) -> None:
    other.append([1])
    take_in(source.store, packs_of(other, Reason.REFUSED))
    other.append([2])
    (receipt,) = take_in(source.store, packs_of(other)[1:]).receipts
    assert (receipt.held, refused_in([receipt])) == (2, [1])
    for value in range(2 * REPEATED):
        other.append([value])
    take_in(source.store, packs_of(other, Reason.REFUSED)[2:])
    (receipt,) = take_in(source.store, packs_of(other)[-1:]).receipts
    assert len(receipt.refusals) == REPEATED


def test_what_is_held_is_not_refused_when_it_comes_again_under_another_policy(
    source: Source, other: Source
) -> None:
    other.append([1])
    take_in(source.store, packs_of(other))
    assert refused_in(take_in(source.store, packs_of(other, Reason.REFUSED)).receipts) == []
    assert values(source.store) == [1]
