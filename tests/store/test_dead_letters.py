"""Dead letters on real SQLite: so many are kept, the oldest go, and how many went is known for good."""

from __future__ import annotations

from pathlib import Path

import pytest

from kos_edge.delivery.limits import Limit
from kos_edge.delivery.wire import Reason
from kos_edge.store.records import Dead
from kos_edge.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "kos.db")


def bury(store: Store, count: int, reason: Reason = Reason.HANDLER, *, at: int = 0, size: int = 10) -> None:
    def work() -> None:
        for number in range(at, at + count):
            store.records.bury(Dead(f"{reason.name} {number}", number, reason, "a", bytes(size)))
            store.records.trim_dead()

    store.database.transact([work])


def numbers(store: Store) -> list[int]:
    return [letter.at for letter in store.records.dead()]


def test_without_a_limit_all_are_kept(store: Store) -> None:
    bury(store, 300)
    assert (len(numbers(store)), store.records.dead_dropped()) == (300, 0)


def test_beyond_a_number_the_oldest_go_and_are_counted_for_good(store: Store) -> None:
    store.records.dead_limit = Limit(messages=10)
    bury(store, 25)
    assert numbers(store) == list(range(15, 25))
    store.close()
    again = Store(store.database.path)
    assert again.records.dead_dropped() == 15
    again.close()


def test_beyond_a_size_the_oldest_go(store: Store) -> None:
    bury(store, 600, size=10)
    store.records.dead_limit = Limit(bytes=1_000)
    bury(store, 1, at=600, size=700)
    assert numbers(store) == list(range(570, 601))
    assert store.records.dead_dropped() == 570


def test_they_come_in_the_order_in_which_they_died_whatever_the_clock_said(store: Store) -> None:
    def work() -> None:
        for name, at in (("b.9", 7), ("b.10", 7), ("a.1", 3), ("b.9", 8)):
            store.records.bury(Dead(name, at, Reason.HANDLER, "a", b"", stamped=at - 1))

    store.database.transact([work])
    letters = store.records.dead()
    assert [(each.id, each.at, each.stamped) for each in letters] == [
        ("b.10", 7, 6),
        ("a.1", 3, 2),
        ("b.9", 8, 7),
    ]
    assert store.records.dead(letters[0].number, 1) == letters[1:2]
    assert store.records.letter("a.1") == letters[1]


def test_what_leave_has_set_aside_stays(store: Store) -> None:
    store.records.dead_limit = Limit(messages=2)
    bury(store, 5, Reason.DROPPED)
    bury(store, 5, at=5)
    assert numbers(store) == [0, 1, 2, 3, 4, 8, 9]
    assert store.records.dead_dropped() == 3
