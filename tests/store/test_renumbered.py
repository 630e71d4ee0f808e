"""What was renumbered stands in the journal in another order than its numbers: the outbox goes by the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from kos_edge.delivery.limits import Limit, Limits, WhenFull
from kos_edge.delivery.receipts import Settled
from kos_edge.errors import Unavailable
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import peek
from kos_edge.store.outbox import Stamp
from kos_edge.store.store import Store
from kos_edge.store.takeover import renumber
from tests.delivery.world import MESH, Source

NOW = Stamp(5_000, None, None)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Under an earlier key three messages wait, under the present one two."""
    source = Source(KeyPair.from_seed(bytes(32)), Store(tmp_path / "kos.db"))
    for number in range(3):
        source.append([number])
    former, source.key = source.key, KeyPair.from_seed(bytes([1]) * 32)
    source.store.own(source.key.kid, former.kid)
    source.restart()
    for number in range(3, 5):
        source.append([number])
    return source


def seal_by_the_new_key(source: Source) -> None:
    old, _ = (owed.stream for owed in source.store.outbox.owed())
    source.store.database.transact([lambda: renumber(source.store, source.key, MESH, [old])])


def test_after_a_restart_they_are_sent_and_settled_by_their_numbers(source: Source) -> None:
    seal_by_the_new_key(source)
    outbox = source.store.outbox
    outbox.load((source.key.kid,))
    (owed,) = outbox.owed()
    assert [load.first for load in outbox.take(owed.stream, 0, 10**6, NOW, 0.0)] == [1, 2, 3, 4, 5]
    outbox.settle(Settled(owed.stream, 2))
    assert [peek(load.pack).first for load in outbox.take(owed.stream, 2, 10**6, NOW, 0.0)] == [3, 4, 5]
    assert outbox.usage.messages == 3


def test_what_has_to_go_is_found_by_its_number(source: Source) -> None:
    seal_by_the_new_key(source)
    outbox = source.store.outbox
    outbox.limits = Limits(Limit(messages=5), when_full=WhenFull.DROP_OLDEST)
    source.append([5])
    assert outbox.usage.messages == 5
    assert outbox.tombstones.messages == 1


def test_what_another_key_has_signed_is_not_dropped_for_nobody_can_sign_that_it_is_gone(
    source: Source,
) -> None:
    outbox = source.store.outbox
    outbox.limits = Limits(Limit(messages=5), when_full=WhenFull.DROP_OLDEST)
    for number in range(5, 9):
        source.append([number])
        assert outbox.usage.messages == 5
    assert outbox.tombstones.messages == 4
    outbox.limits = Limits(Limit(messages=3), when_full=WhenFull.DROP_OLDEST)
    with pytest.raises(Unavailable):
        source.append([9])
