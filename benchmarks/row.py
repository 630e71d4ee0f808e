"""One row of the table: what is measured, beside what, and what it has to reach.

A *subject* is a function `(run: Run) -> float` in a module of this package, written "module:function". It is measured
once a round, in a folder of its own; rows that name the same subject share its figures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


class NotMeasured(Exception):
    """This machine cannot measure that; the text says why, for the table."""


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement of one subject. `short` asks for a look of seconds and not for a figure to publish."""

    folder: Path
    short: bool
    round: int
    notes: dict[str, float] = field(default_factory=dict)
    """What else was seen, for the record: processor time, memory, counts."""

    def size(self, full: int, short: int) -> int:
        """How much to do."""
        return short if self.short else full


@dataclass(frozen=True, slots=True)
class Beside:
    """What is measured in the same rounds, to compare with."""

    what: str
    subject: str


@dataclass(frozen=True, slots=True)
class Row:
    """`goal` is for the value itself, or with `ratio` for the value divided by that of `beside`."""

    name: str
    what: str
    unit: str
    subject: str
    goal: float
    beside: Beside | None = None
    ratio: bool = False
    at_most: bool = False
    note: str = ""
    """The name of a note of the subject that is the value in place of what it returns."""
    once: bool = False
    """One round is enough, or as much as can be asked for: it takes minutes."""

    def holds(self, value: float) -> bool:
        """Whether the goal is reached."""
        return value <= self.goal if self.at_most else value >= self.goal
