"""The bounded share of every row: what `make faults` sweeps whole holds here in small."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.report import Result, document, table
from tests.faults.rows import OURS, US, Row, Sweep, Tally, rows

ROWS = [row for row in rows() if row.small]


def _mark(row: Row) -> list[pytest.MarkDecorator]:
    marks = [pytest.mark.may_block("stores work in the loop, so that every run is the same")]
    return [*marks, getattr(pytest.mark, row.lane)] if row.lane else marks


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name, marks=_mark(row)) for row in ROWS])
def test_the_row_holds(row: Row, tmp_path: Path) -> None:
    run = Sweep(tmp_path, full=False)
    row.sweep(run)
    assert run.tally.cases > 0
    if row.of in OURS:
        assert run.tally.clean, run.tally


def result(of: str = US, *, broken: str = "", cases: int = 0, lost: int = 0) -> Result:
    return Result("R01", "killed anywhere", of, Tally(cases, lost), 1.5, broken)


def test_one_lost_message_fails_our_row_and_is_a_finding_in_anothers() -> None:
    assert result(cases=3).holds
    assert not result(cases=3, lost=1).holds
    assert result("mosquitto", cases=3, lost=356).holds


def test_a_row_that_tried_nothing_or_broke_does_not_hold() -> None:
    assert not result().holds
    assert not result("mosquitto").holds
    assert not result(cases=3, broken="Traceback").holds


def test_the_table_has_a_line_for_each_system() -> None:
    lines = table([result(cases=3_000), result("mosquitto", cases=3_000, lost=356)]).splitlines()
    assert lines[1].split()[:6] == ["R01", US, "3,000", "0", "0", "0"]
    assert lines[2].split()[:4] == ["R01", "mosquitto", "3,000", "356"]
    assert document([result(cases=1)], seconds=2.0)["rows"][0]["holds"] is True  # type: ignore[index]


def test_a_note_is_kept_for_the_first_failures_only(tmp_path: Path) -> None:
    run = Sweep(tmp_path, full=False)
    for number in range(100):
        run.lost(2, f"case {number}")
    run.lost(0, "nothing")
    assert (run.tally.lost, len(run.tally.notes), run.tally.notes[0]) == (200, 20, "lost: case 0")
