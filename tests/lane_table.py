"""What came of each lane, and the table that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

NO_TESTS = 5
"""pytest's exit code for a run that found nothing to test."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One lane's counts, or the command that would have it run."""

    lane: str
    needs: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    left_out: str | None = None

    @property
    def empty(self) -> bool:
        return self.left_out is None and self.passed + self.failed + self.skipped == 0

    def bad(self, *, strict: bool) -> bool:
        """Whether this makes the whole run fail. `strict`: nothing may be left out, empty or skipped."""
        return self.failed > 0 or (strict and (self.left_out is not None or self.empty or self.skipped > 0))

    def words(self, *, strict: bool) -> str:
        if self.left_out is not None:
            return f"left out; to run it: {self.left_out}"
        if self.empty:
            return "no tests"
        return "FAILED" if self.bad(strict=strict) else "run"


def read_report(report: Path, lane: str, needs: str, *, code: int, seconds: float) -> Outcome:
    """The counts in pytest's JUnit report. A run that broke before it could report counts as one failure."""
    total = failed = skipped = 0
    if report.exists():
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            total += int(suite.get("tests", 0))
            failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped += int(suite.get("skipped", 0))
    passed = max(0, total - failed - skipped)
    if code not in (0, NO_TESTS) and failed == 0:
        failed = 1
    return Outcome(lane, needs, passed=passed, failed=failed, skipped=skipped, seconds=seconds)


def table(outcomes: Sequence[Outcome], *, strict: bool) -> str:
    """The lanes as a table; its last line is the sum, `N passed, N failed`."""
    heads = ("lane", "passed", "failed", "skipped", "seconds", "needs", "")
    rows: list[tuple[str, ...]] = [heads]
    for outcome in outcomes:
        counts = (outcome.passed, outcome.failed, outcome.skipped, f"{outcome.seconds:.1f}")
        shown = ("-",) * 4 if outcome.left_out else tuple(str(count) for count in counts)
        rows.append((outcome.lane, *shown, outcome.needs, outcome.words(strict=strict)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    right = range(1, 5)
    lines = [
        "  ".join(
            cell.rjust(widths[n]) if n in right else cell.ljust(widths[n]) for n, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]
    passed = sum(outcome.passed for outcome in outcomes)
    failed = sum(max(outcome.failed, int(outcome.bad(strict=strict))) for outcome in outcomes)
    return "\n".join(["", *lines, "", f"{passed} passed, {failed} failed"])
