"""The newest values on real SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from kos_edge.klp.body import Data
from kos_edge.klp.pack import Class, Message, Stream, prepare
from kos_edge.store.owed import Appended, Stamp
from kos_edge.store.store import Store
from tests.delivery.world import LANE

STAMP = Stamp(5_000, 1_800_000_000_000, 250, 1_800_000_000_900)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "kos.db")


def keep(store: Store, topic: str, value: object, lane: tuple[str, Class] = LANE) -> None:
    message = prepare(Message(topic, Data(value), offset_ms=-7))
    store.database.transact([lambda: store.latest.keep(lane, message, STAMP)])


def waits(store: Store) -> dict[str, object]:
    return {key[2]: kept.message.slot(0) for key, kept in store.latest}


def test_a_newer_value_takes_the_place_of_the_one_that_waits(store: Store) -> None:
    for value in range(3):
        keep(store, "a", value)
        keep(store, "b", value)
    keep(store, "a", "for all", ("all", Class()))
    assert (len(store.latest), store.latest.replaced) == (3, 4)


def test_what_waits_is_the_same_after_a_restart_but_of_an_earlier_process(store: Store) -> None:
    keep(store, "a", 1)
    again = Store(store.database.path)
    assert waits(again) == waits(store)
    ((_, kept),) = again.latest
    assert (kept.stamp, kept.earlier) == (STAMP, True)
    again.close()


def test_a_failed_commit_leaves_what_waited_before(store: Store) -> None:
    keep(store, "a", 1)
    before = waits(store)
    message = prepare(Message("a", Data(2)))

    def fail() -> None:
        store.latest.keep(LANE, message, STAMP)
        raise RuntimeError("the power fails here")

    with pytest.raises(RuntimeError):
        store.database.transact([fail])
    assert waits(store) == before


def test_one_that_was_sent_holds_back_the_next_of_its_topic_until_it_is_settled(store: Store) -> None:
    keep(store, "a", 1)
    keep(store, "b", 1)
    settled: list[bool] = [False]

    def due() -> list[str]:
        return [key[2] for key, _ in store.latest.due(lambda _: True, lambda _: settled[0])]

    assert due() == ["a", "b"]
    (key, _), _ = store.latest.due(lambda _: True, lambda _: False)
    appended = Appended(Stream(bytes(16), *LANE, 1), 1)
    store.database.transact([lambda: store.latest.sent(key, appended)])
    keep(store, "a", 2)
    assert due() == ["b"]
    settled[0] = True
    assert sorted(due()) == ["a", "b"]
    assert store.latest.due(lambda audience: audience == "all", lambda _: True) == []


def test_a_damaged_value_is_counted_and_told_until_the_next_one_takes_its_place(store: Store) -> None:
    keep(store, "a", 1)
    keep(store, "b", 2)
    store.database.transact(
        [lambda: store.database.execute("UPDATE latest SET message = x'ff' WHERE topic = 'a'")]
    )
    again = Store(store.database.path)
    assert (list(waits(again)), again.latest.unreadable) == (["b"], 1)
    assert any("1 newest values" in text for text in again.troubles())
    keep(again, "a", 3)
    again.latest.load()
    assert (again.latest.unreadable, again.troubles()) == (0, [])
    again.close()
