"""When a sensor is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.agents.schedule import Schedule, seconds
from kos_edge.errors import Invalid


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100ms", 0.1),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1.5h", 5400.0),
        ("2 d", 172_800.0),
        (7, 7.0),
        (0.25, 0.25),
    ],
)
def test_a_duration_is_text_or_seconds(text: float | str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "5", "s", "5 weeks", "-3s", -1, float("nan"), float("inf"), True, None])
def test_anything_else_is_no_duration(text: float | str) -> None:
    with pytest.raises(Invalid):
        seconds(text)


def test_the_first_tick_is_at_once() -> None:
    assert Schedule(10.0, 3.0).due(3.0) == 3.0


@given(
    every=st.floats(min_value=0.001, max_value=1000),
    busy=st.lists(st.floats(min_value=0.0, max_value=0.9), min_size=1, max_size=200),
)
def test_ticks_do_not_drift_however_long_the_work_takes(every: float, busy: list[float]) -> None:
    schedule = Schedule(every, 50.0)
    for tick, share in enumerate(busy):
        due = schedule.due(50.0 + every * tick)
        assert due == pytest.approx(50.0 + every * tick)
        assert schedule.skipped == 0
        assert 0.0 <= share < 1.0


def test_ticks_that_passed_are_skipped_and_counted() -> None:
    schedule = Schedule(1.0, 0.0)
    assert schedule.due(0.0) == 0.0
    assert schedule.due(3.4) == 4.0
    assert schedule.skipped == 3
    assert schedule.due(4.1) == 5.0
    assert schedule.skipped == 3


def test_work_that_ends_exactly_at_a_tick_does_not_miss_it() -> None:
    schedule = Schedule(0.1, 0.0)
    now = 0.0
    for tick in range(1000):
        assert schedule.due(now) == pytest.approx(tick * 0.1)
        now = now + 0.1
    assert schedule.skipped == 0


def test_a_period_below_a_millisecond_is_refused() -> None:
    with pytest.raises(Invalid, match="too often"):
        Schedule(0.0001, 0.0)
