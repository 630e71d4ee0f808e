from __future__ import annotations

from pathlib import Path

import pytest

from tests.lane_table import Outcome, read_report, table
from tests.lanes import LANES, main

REPORT = '<testsuites><testsuite tests="9" failures="1" errors="1" skipped="2"/></testsuites>'
RUN = Outcome("unit", "nothing", passed=3, seconds=1.5)
LEFT_OUT = Outcome("netns", "root", left_out="sudo make test LANES=netns")
SKIPPED = Outcome("e2e", "nothing", passed=1, skipped=1)


def test_the_counts_are_pytests_own(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    outcome = read_report(report, "unit", "nothing", code=1, seconds=1)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (5, 2, 2)


@pytest.mark.parametrize("code", [1, 2, 3, -9])
def test_a_run_that_broke_before_it_could_report_is_a_failure(tmp_path: Path, code: int) -> None:
    assert read_report(tmp_path / "none.xml", "unit", "nothing", code=code, seconds=1).failed == 1


def test_the_last_line_is_the_sum() -> None:
    assert table([RUN, SKIPPED], strict=False).splitlines()[-1] == "4 passed, 0 failed"


def test_a_lane_left_out_names_the_command_that_would_run_it() -> None:
    assert "left out; to run it: sudo make test LANES=netns" in table([RUN, LEFT_OUT], strict=False)


@pytest.mark.parametrize("outcome", [LEFT_OUT, SKIPPED, Outcome("e2e", "nothing")])
def test_what_is_left_out_skipped_or_empty_fails_only_when_all_was_asked_for(outcome: Outcome) -> None:
    assert not outcome.bad(strict=False)
    assert outcome.bad(strict=True)
    assert table([RUN, outcome], strict=True).endswith(", 1 failed")


def test_every_marker_of_a_lane_is_known_to_pytest(pytestconfig: pytest.Config) -> None:
    known = {line.partition(":")[0] for line in pytestconfig.getini("markers")}
    assert {lane.marker for lane in LANES if lane.marker} <= known


def test_an_unknown_lane_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nope"])
    assert "no lane is called nope" in capsys.readouterr().err
