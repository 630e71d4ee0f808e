"""Thresholds with hysteresis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.agents.crossing import Band, Crossings
from kos_edge.errors import Invalid


def crossings(band: Band, values: list[float], series: str = "a") -> list[bool]:
    """What a handler would be told."""
    told, machine = [], Crossings(band)
    for value in values:
        side = machine.crossed(series, value)
        if side is not None:
            machine.settle(series, side)
            told.append(side)
    return told


def test_above_is_told_once_and_so_is_coming_back() -> None:
    assert crossings(Band(above=30, until=28), [25, 30, 31, 29, 32, 28.1, 28, 29, 30, 31]) == [
        True,
        False,
        True,
    ]


def test_below_is_the_mirror_image() -> None:
    assert crossings(Band(below=5, until=7), [6, 4, 6, 6.9, 7, 5, 4.9]) == [True, False, True]


def test_without_until_the_limit_itself_is_the_way_back() -> None:
    assert crossings(Band(above=30), [30, 30.1, 30, 31]) == [True, False, True]


def test_a_crossing_that_nobody_was_told_of_happens_again() -> None:
    machine = Crossings(Band(above=30))
    assert machine.crossed("a", 31) is True
    assert machine.crossed("a", 32) is True


def test_every_series_crosses_on_its_own() -> None:
    machine = Crossings(Band(above=30))
    machine.settle("a", True)
    assert machine.crossed("b", 31) is True
    assert machine.crossed("a", 31) is None


@given(st.lists(st.floats(min_value=-100, max_value=100)))
def test_sides_alternate_beginning_with_out(values: list[float]) -> None:
    told = crossings(Band(above=10, until=-10), values)
    assert told == [place % 2 == 0 for place in range(len(told))]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"above": 1, "below": 2},
        {"above": 1, "until": 2},
        {"below": 2, "until": 1},
        {"above": float("nan")},
    ],
)
def test_a_band_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(Invalid):
        Band(**wrong)
