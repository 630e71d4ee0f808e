"""Measuring: every subject once a round, one after the other, so that what disturbs one disturbs its neighbour too."""

from __future__ import annotations

import importlib
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.row import NotMeasured, Row, Run

ROUNDS = 5  # the median of five bears two that were disturbed


@dataclass(slots=True)
class Figures:
    """What the rounds gave for one subject; `why` says why there is nothing."""

    values: list[float] = field(default_factory=list)
    notes: list[dict[str, float]] = field(default_factory=list)
    why: str = ""

    @property
    def median(self) -> float | None:
        """Of all rounds; None where it could not be measured."""
        return statistics.median(self.values) if self.values and not self.why else None

    def note(self) -> dict[str, float]:
        """The median of each note."""
        names = {name for notes in self.notes for name in notes}
        return {name: statistics.median(n[name] for n in self.notes if name in n) for name in sorted(names)}


@dataclass(frozen=True, slots=True)
class Found:
    """A row with its figures. `value` is None where it could not be measured."""

    row: Row
    mine: Figures
    beside: Figures | None

    @property
    def value(self) -> float | None:
        """What the goal is for: the median, or the median of the ratios within one round."""
        if self.row.note:
            return self.mine.note().get(self.row.note)
        if not self.row.ratio:
            return self.mine.median
        if self.beside is None or self.mine.median is None or self.beside.median is None:
            return None
        pairs = zip(self.mine.values, self.beside.values, strict=False)
        return statistics.median(mine / other for mine, other in pairs)

    @property
    def holds(self) -> bool | None:
        """Whether the goal is reached; None where nobody can say."""
        return None if self.value is None else self.row.holds(self.value)


def subject(name: str) -> Callable[[Run], float]:
    """The function that "module:function" names. Raises NotMeasured where there is none."""
    module, _, function = name.partition(":")
    try:
        found: Callable[[Run], float] = getattr(importlib.import_module(f"benchmarks.{module}"), function)
    except (ImportError, AttributeError) as error:
        raise NotMeasured(f"there is no {name} here: {error}") from None
    return found


def measure(rows: Sequence[Row], *, short: bool, rounds: int, say: Callable[[str], None]) -> list[Found]:
    """Measure all that the rows need, and put the rows together."""
    wanted: dict[str, int] = {}
    for row in rows:
        for name in _subjects(row):
            wanted[name] = max(wanted.get(name, 0), 1 if row.once else rounds)
    figures = {name: Figures() for name in wanted}
    for number in range(rounds):
        for name in _turned(list(wanted), number):
            if number < wanted[name] and not figures[name].why:
                _measure(name, figures[name], short=short, number=number, say=say)
    return [
        Found(row, figures[row.subject], figures[row.beside.subject] if row.beside else None) for row in rows
    ]


def _measure(name: str, figures: Figures, *, short: bool, number: int, say: Callable[[str], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="kos-edge-bench-") as folder:
        run = Run(Path(folder), short, number)
        try:
            value = subject(name)(run)
        except NotMeasured as error:
            figures.why = str(error)
            say(f"  {name}: not measured: {error}")
            return
    figures.values.append(value)
    figures.notes.append(run.notes)
    notes = " ".join(f"{key}={value:,.6g}" for key, value in run.notes.items())
    say(f"  round {number + 1}  {name}: {value:,.1f}  {notes}")


def _subjects(row: Row) -> Iterable[str]:
    return (row.subject,) if row.beside is None else (row.subject, row.beside.subject)


def _turned(names: list[str], number: int) -> list[str]:
    """Another one begins in each round, so that none always comes after the same one."""
    cut = number % len(names)
    return names[cut:] + names[:cut]
