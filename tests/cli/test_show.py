"""Values as people read them."""

from __future__ import annotations

import pytest

from kos_edge.cli.show import age, clean, columns, local_time, parse_when, plain_value, size, span, sparkline
from kos_edge.control.text import json_line
from kos_edge.errors import Invalid


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0042, "4.2 ms"),
        (1, "1 s"),
        (61, "1 min 1 s"),
        (3725, "1 h 2 min"),
        (90061, "1 d 1 h"),
        (None, "unknown"),
    ],
)
def test_a_span_has_its_two_largest_units(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


def test_an_age_is_never_negative() -> None:
    assert age("2026-01-31T12:00:00.000Z", 1769860860.0) == "1 min"
    assert age("2026-01-31T12:00:00.000Z", 1769860000.0) == "0 s"
    assert age(None, 0.0) == local_time(None) == "unknown"


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (10**13, "10 TB")])
def test_a_size_has_three_digits(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("text", "when"),
    [("1h", 6400.0), ("2026-01-31T12:00:00Z", 1769860800.0), ("2026-01-31T13:00:00+01:00", 1769860800.0)],
)
def test_a_time_is_absolute_or_before_now(text: str, when: float) -> None:
    assert parse_when(text, 10_000.0) == when


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "1y"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is no time"):
        parse_when(text, 0.0)


def test_a_course_goes_from_lowest_to_highest() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([5, 5]) == "▄▄"
    assert sparkline([]) == ""


def test_values_are_shown_with_their_units() -> None:
    assert plain_value(21.5, "Cel") == "21.5 Cel"
    assert plain_value({"t": 1, "on": True}, {"t": "Cel"}) == "t 1 Cel, on true"
    assert plain_value({"t": [1]}) == '{"t": [1]}'


def test_a_strangers_text_does_not_move_the_terminal() -> None:
    evil = "a\x1b[2Jb\x9bc\nd"
    assert clean(evil) == "a\\x1b[2Jb\\x9bc\\nd"
    assert columns([(evil,)], ("H",)).count("\n") == 1
    assert plain_value(evil).isprintable()
    assert json_line({"x": evil}).isprintable()
    assert clean("Grüße ✓") == "Grüße ✓"
