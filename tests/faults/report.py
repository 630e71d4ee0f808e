"""What `make faults` prints and writes: one line a row and system, and `build/faults.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.faults.rows import OURS, Tally


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one row. `broken` is how it ended where it did not get to its end."""

    id: str
    title: str
    of: str
    tally: Tally
    seconds: float
    broken: str = ""

    @property
    def holds(self) -> bool:
        """Whether our word holds. What other systems lose is measured, and is no failure of ours."""
        if self.broken:
            return False
        return self.tally.clean if self.of in OURS else self.tally.cases > 0


def table(results: Sequence[Result]) -> str:
    """The rows as a table, other systems' under ours."""
    heads = ("id", "system", "cases", "lost", "twice", "wrong", "seconds", "")
    lines: list[tuple[str, ...]] = [heads]
    for result in results:
        tally = result.tally
        counts = (tally.cases, tally.lost, tally.twice, tally.wrong)
        verdict = (result.broken and "BROKEN") or (
            "" if result.of not in OURS else "holds" if result.holds else "FAILED"
        )
        shown = [f"{count:,}" for count in counts]
        lines.append(
            (result.id, result.of, *shown, f"{result.seconds:.1f}", f"{verdict}  {result.title}".strip())
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    right = range(2, 7)
    return "\n".join(
        "  ".join(
            cell.rjust(widths[n]) if n in right else cell.ljust(widths[n]) for n, cell in enumerate(line)
        ).rstrip()
        for line in lines
    )


def document(results: Sequence[Result], *, seconds: float) -> dict[str, object]:
    """The same as JSON."""
    rows = [{**asdict(result), "holds": result.holds} for result in results]
    return {"seconds": round(seconds, 1), "rows": rows}
