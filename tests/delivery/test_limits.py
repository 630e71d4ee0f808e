"""What has to go when something does not fit, and when people are told."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kos_edge.delivery.limits import Amount, Gauge, Lane, Limit, Limits, WhenFull, make_room
from kos_edge.errors import Unavailable
from kos_edge.klp.stream import Priority

LOW, NORMAL, HIGH, CRITICAL = Priority


@dataclass(frozen=True)
class Pack:
    id: int
    count: int = 1
    size: int = 100
    gone: str | None = None


QUEUE = [
    Lane(CRITICAL, [Pack(1), Pack(6)]),
    Lane(NORMAL, [Pack(2), Pack(5), Pack(8)]),
    Lane(LOW, [Pack(3, 50, 150, gone="dropped"), Pack(4), Pack(7)]),
]


def victims(limits: Limits, priority: Priority) -> list[int]:
    """The ids of what goes for one more pack; raises Unavailable."""
    standing = {
        lane.priority: sum((Amount(p.count, p.size) for p in lane.packs if p.gone is None), Amount())
        for lane in QUEUE
    }
    return [pack.id for pack in make_room(limits, standing, QUEUE, priority, Amount(1, 100))]


def whole(messages: int, when_full: WhenFull) -> Limits:
    return Limits(Limit(messages=messages), when_full=when_full)


def test_what_fits_drops_nothing_and_tombstones_do_not_count() -> None:
    for when_full in WhenFull:
        assert victims(whole(8, when_full), LOW) == []


@pytest.mark.parametrize(
    ("when_full", "priority", "gone"),
    [
        (WhenFull.DROP_OLDEST, LOW, [2, 4]),
        (WhenFull.DROP_OLDEST, HIGH, [2, 4]),
        (WhenFull.DROP_OLDEST, CRITICAL, [1, 2]),
        (WhenFull.DROP_LOWEST, LOW, [4, 7]),
        (WhenFull.DROP_LOWEST, NORMAL, [4, 7]),
        (WhenFull.DROP_LOWEST, CRITICAL, [4, 7]),
    ],
)
def test_two_more_than_fit_cost_two(when_full: WhenFull, priority: Priority, gone: list[int]) -> None:
    assert victims(whole(6, when_full), priority) == gone


def test_a_low_one_takes_no_place_of_a_higher_one() -> None:
    assert victims(whole(6, WhenFull.DROP_LOWEST), LOW) == [4, 7]
    with pytest.raises(Unavailable):
        victims(whole(5, WhenFull.DROP_LOWEST), LOW)
    assert victims(whole(5, WhenFull.DROP_LOWEST), NORMAL) == [4, 7, 2]


def test_critical_ones_are_never_dropped_for_lower_ones() -> None:
    assert victims(whole(3, WhenFull.DROP_OLDEST), HIGH) == [2, 4, 5, 7, 8]
    for when_full in (WhenFull.DROP_OLDEST, WhenFull.DROP_LOWEST):
        with pytest.raises(Unavailable):
            victims(whole(2, when_full), HIGH)


def test_reject_refuses_and_what_alone_is_too_much_is_refused_always() -> None:
    with pytest.raises(Unavailable, match="the queue is full: 7 messages"):
        victims(whole(7, WhenFull.REJECT), CRITICAL)
    for when_full in WhenFull:
        with pytest.raises(Unavailable):
            victims(Limits(Limit(bytes=99), when_full=when_full), CRITICAL)


def test_of_a_full_priority_only_its_own_go() -> None:
    limits = Limits(Limit(), {NORMAL: Limit(messages=2)}, WhenFull.DROP_LOWEST)
    assert victims(limits, NORMAL) == [2, 5]
    assert victims(limits, LOW) == []
    limits = Limits(Limit(bytes=500), {NORMAL: Limit(messages=3)}, WhenFull.DROP_OLDEST)
    assert victims(limits, NORMAL) == [2, 4, 5]
    with pytest.raises(Unavailable, match="priority normal"):
        victims(Limits(Limit(), {NORMAL: Limit(messages=3)}), NORMAL)


def test_a_level_is_news_once_and_again_after_it_was_clearly_left() -> None:
    gauge = Gauge()
    said = [
        percent
        for percent in (10, 49, 50, 60, 79, 81, 79, 80, 74, 81, 99, 100, 20, 55)
        if gauge.read(percent)
    ]
    assert said == [50, 81, 81, 99, 55]
    assert gauge.level == 50


def test_a_gauge_that_jumps_says_the_highest_level_only() -> None:
    gauge = Gauge()
    assert [gauge.read(97), gauge.read(97), gauge.level] == [True, False, 95]
