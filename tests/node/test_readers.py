"""A reader that never comes back does not hold the journal for ever; one that is only slow does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kos_edge.node.readers import DAY_MS, Readers
from kos_edge.store.store import Store


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store(":memory:")
    made.database.transact(
        [lambda: made.records.move_cursor("here", 7), lambda: made.records.move_cursor("away", 7)]
    )
    yield made
    made.close()


def tidy(store: Store, present: Callable[[], list[str]], uptime_ms: int, keep_ms: int = 7 * DAY_MS) -> None:
    store.database.transact([lambda: Readers(present).tidy(store, uptime_ms, keep_ms)])


def test_a_reader_that_is_away_for_as_long_as_the_journal_keeps_is_forgotten(store: Store) -> None:
    for day in range(7):
        tidy(store, lambda: ["here"], day * DAY_MS)
        assert store.records.cursors() == ["away", "here"]
    tidy(store, lambda: ["here"], 7 * DAY_MS)
    assert store.records.cursors() == ["here"]


def test_a_reader_that_comes_back_in_time_is_kept(store: Store) -> None:
    tidy(store, lambda: ["here"], 0)
    tidy(store, lambda: ["here", "away"], 6 * DAY_MS)
    tidy(store, lambda: ["here"], 8 * DAY_MS)
    assert store.records.cursors() == ["away", "here"]


def test_nobody_is_forgotten_within_a_day_however_short_the_journal(store: Store) -> None:
    tidy(store, lambda: [], 0, keep_ms=1)
    tidy(store, lambda: [], DAY_MS - 1, keep_ms=1)
    assert store.records.cursors() == ["away", "here"]


def test_outcomes_are_kept_up_to_a_number_the_newest_of_them(store: Store) -> None:

    def remember() -> None:
        for number in range(100):
            store.records.remember(str(number), b"x", number)

    store.database.transact([remember])
    assert store.records.trim_outcomes(40) == 60
    assert store.records.recall("59") is None
    assert store.records.recall("60") == b"x"
    assert store.records.trim_outcomes(40) == 0
