"""Runs of numbers against a plain set of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kos_edge.delivery.spans import Run, Spans, joined

RANGES = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 12)), max_size=30)


@given(RANGES)
def test_runs_are_the_set_of_their_numbers_with_a_gap_between_each_two(ranges: list[tuple[int, int]]) -> None:
    numbers: set[int] = set()
    spans = Spans()
    for first, more in ranges:
        spans.add(Run(first, first + more))
        numbers |= set(range(first, first + more + 1))
    assert {n for run in spans.runs for n in range(run.first, run.last + 1)} == numbers
    assert all(a.last + 1 < b.first for a, b in zip(spans.runs, spans.runs[1:], strict=False))
    held = next(n for n in range(100) if n + 1 not in numbers)
    assert spans.held == held
    assert joined((run.first, run.last) for run in spans.runs) == spans


@given(RANGES, st.integers(1, 60), st.integers(0, 20))
def test_gaps_and_cover_are_what_is_missing_and_there(
    ranges: list[tuple[int, int]], first: int, more: int
) -> None:
    spans = joined((start, start + count) for start, count in ranges)
    numbers = {n for run in spans.runs for n in range(run.first, run.last + 1)}
    asked = set(range(first, first + more + 1))
    gaps = spans.gaps(first, first + more)
    assert {n for start, end in gaps for n in range(start, end + 1)} == asked - numbers
    assert spans.covers(first, first + more) == (asked <= numbers)
    assert spans.apart(first, first + more) == numbers.isdisjoint(range(first - 1, first + more + 2))


def test_a_run_keeps_what_its_ends_are_named_by() -> None:
    spans = Spans()
    spans.add(Run(5, 9, b"before 5", b"at 9"))
    spans.add(Run(10, 12, b"at 9", b"at 12"))
    spans.add(Run(2, 4, b"before 2", b"before 5"))
    assert spans.runs == [Run(2, 12, b"before 2", b"at 12")]
