"""R06 for the brokers of today: the same script, on the same small disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults.brokers import Kind, cases, enter, made
from tests.faults.rows import Sweep
from tests.faults.script import End, Fullness, Outcome, SenderLedger, SmallDisk, full

INODES = 40
"""Of the small disk where these are what runs out: a state has about ten files."""


@dataclass(frozen=True, slots=True)
class Case:
    """Whose disk runs full, and how."""

    end: End
    how: Fullness

    def __str__(self) -> str:
        return f"{self.end}, {self.how}"


CASES = (
    Case("sender", "filled to the last byte"),
    Case("sender", "filled by its own queue"),
    Case("receiver", "filled to the last byte"),
)
"""Not all, as for ours: a nats-server whose disk was full answers nothing, and each question takes its time."""


def sweep(kind: Kind, run: Sweep) -> None:
    """The disk of one of two brokers with these settings runs full."""
    cases(run, CASES[: run.share(full=len(CASES), bounded=1)], partial(_case, kind))


def _case(kind: Kind, folder: Path, case: Case) -> Outcome:
    system = made(folder, kind)
    ledger = SenderLedger(folder / "sent", "case")
    disk = SmallDisk(system.state(case.end), inodes=INODES if case.how == "no inodes" else 0)
    with disk.mounted():
        try:
            system.restore()
            return system.judged(full(system, disk, case.end, case.how, ledger))
        finally:
            ledger.close()
            system.close()


enter("R06", "the disk full", sweep, minutes=4, small=False)
