"""The rows of docs/reliability.md as functions: each tries many cases and counts what went wrong.

A row is a module `tests/faults/rNN_some_name.py` with a function under `@row`:

    @row("R04", "a bit or a page of the database damaged")
    def sweep(run: Sweep) -> None:
        for number in range(run.share(full=2_000, bounded=40)):
            ...
            run.case()
            if missing:
                run.lost(len(missing), f"seed {run.seed} case {number}: {missing[0]}")

`make test` tries the bounded share of every row (`test_rows.py`), `make faults` the full one (`__main__.py`).
The same row may stand once more for another system, `of="mosquitto"`: it gets a column of its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

US = "kos-edge"
BOOTED = "booted"
"""The same for the package on whole machines that systemd booted: `tests.system`."""
OURS = (US, BOOTED)
NOTES = 20
"""Failures of which the text is kept; the counts go on."""

Sweeping = Callable[["Sweep"], None]


@dataclass(slots=True)
class Tally:
    """What a row has counted: messages lost and delivered twice, and everything else that was wrong."""

    cases: int = 0
    lost: int = 0
    twice: int = 0
    wrong: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether cases were tried and nothing went wrong in them."""
        return self.cases > 0 and not (self.lost or self.twice or self.wrong)


@dataclass(slots=True)
class Sweep:
    """One run of a row: what it may use, and where it counts. `folder` is empty and its own.

    `counted` is called after each case, for whoever watches.
    """

    folder: Path
    full: bool
    seed: int = 0
    tally: Tally = field(default_factory=Tally)
    counted: Callable[[Tally], None] = lambda tally: None

    def share(self, *, full: int, bounded: int) -> int:
        """How many cases to try."""
        return full if self.full else bounded

    def cases(self, *, full: int, bounded: int) -> Iterator[tuple[Path, int]]:
        """So many cases, each with a folder and a seed of its own, counted once it is over."""
        for number in range(self.share(full=full, bounded=bounded)):
            folder = self.folder / str(number)
            folder.mkdir()
            yield folder, self.seed * 1_000_000 + number
            self.case()

    def case(self, count: int = 1) -> None:
        """So many cases were tried."""
        self.tally.cases += count
        self.counted(self.tally)

    def lost(self, count: int, why: str) -> None:
        """Messages that were accepted and are nowhere. `why` lets a person find the case again."""
        self.tally.lost += count
        self._note("lost", count, why)

    def twice(self, count: int, why: str) -> None:
        """Messages that were delivered more than once."""
        self.tally.twice += count
        self._note("twice", count, why)

    def wrong(self, why: str) -> None:
        """Anything else that does not hold."""
        self.tally.wrong += 1
        self._note("wrong", 1, why)

    def add(self, other: Tally) -> None:
        """Count in what another process has counted."""
        self.tally.cases += other.cases
        self.tally.lost += other.lost
        self.tally.twice += other.twice
        self.tally.wrong += other.wrong
        self.tally.notes += other.notes[: NOTES - len(self.tally.notes)]
        self.counted(self.tally)

    def _note(self, word: str, count: int, why: str) -> None:
        if count and len(self.tally.notes) < NOTES:
            self.tally.notes.append(f"{word}: {why}")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `lane` is the marker of the tests that it belongs to (None: it needs nothing).

    `alone` is for rows that measure time: nothing else runs beside them. `minutes` says about how long the full
    sweep takes on two cores, so that the long ones begin first. `small`: it has a share that takes seconds; what has
    none is for `make faults` alone.
    """

    id: str
    title: str
    sweep: Sweeping
    of: str = US
    lane: str | None = None
    alone: bool = False
    minutes: float = 1.0
    small: bool = True

    @property
    def name(self) -> str:
        """The row in one word; other systems' with theirs."""
        return self.id if self.of == US else f"{self.id}-{self.of}"


_ROWS: dict[str, Row] = {}


def row(
    id: str,
    title: str,
    *,
    of: str = US,
    lane: str | None = None,
    alone: bool = False,
    minutes: float = 1.0,
    small: bool = True,
) -> Callable[[Sweeping], Sweeping]:
    """Enter a function as the row `id`; see the module's docstring."""

    def enter(sweep: Sweeping) -> Sweeping:
        entered = Row(id, title, sweep, of, lane, alone, minutes, small)
        assert entered.name not in _ROWS, f"two rows are called {entered.name}"
        _ROWS[entered.name] = entered
        return sweep

    return enter


def rows() -> list[Row]:
    """Every row, in the order of their names."""
    here = Path(__file__).parent
    for module in sorted([*here.glob("r[0-9][0-9]_*.py"), *here.glob("sim_*.py")]):
        importlib.import_module(f"tests.faults.{module.stem}")
    return [_ROWS[name] for name in sorted(_ROWS)]
