"""R05: the disk says that it could not sync, once or for a while, on either side, under load."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.edge_and_hub import EdgeAndHub
from tests.faults.rows import Sweep, row
from tests.faults.script import BATCH, End, Refusal, SenderLedger, until_so

AFTER = 12
"""Batches after the failures are over, or at most so many until they are."""


SIDES: tuple[tuple[End, str], ...] = (
    ("sender", "fdatasync"),
    ("receiver", "fdatasync"),
    ("sender", "pwrite64"),
)


@dataclass(frozen=True, slots=True)
class Failing:
    """The `first` to `last` call of one thread of a side fails with EIO."""

    end: End
    call: str
    first: int
    last: int

    @property
    def prefix(self) -> list[str]:
        when = f"{self.first}..{self.last}" if self.last > self.first else f"{self.first}"
        return [
            "strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={self.call}", "-e", "signal=none",
            "-e", f"inject={self.call}:error=EIO:when={when}",
        ]  # fmt: skip


@row("R05", "sync returns EIO", lane="faults", minutes=6)
def sweep(run: Sweep) -> None:
    system = EdgeAndHub(run.folder)
    system.set_up()
    kept = run.folder / "kept"
    system.keep(kept)
    cases = [
        Failing(end, call, first, first + length)
        for length in (24, 0)
        for first in (7, 12, 4, 9, 16)
        for end, call in SIDES
    ]
    for number, failing in enumerate(cases[: run.share(full=len(cases), bounded=2)]):
        system.restore(kept)
        ledger = SenderLedger(run.folder / "sent", f"case-{number}")
        try:
            _case(run, system, failing, ledger)
        finally:
            ledger.close()
            system.close()


def _case(run: Sweep, system: EdgeAndHub, failing: Failing, ledger: SenderLedger) -> None:
    run.case()
    started = True
    ends: tuple[End, ...] = ("receiver", "sender")
    for end in ends:
        if not system.start(end, failing.prefix if end == failing.end else ()):
            started = False  # at its very start: it may refuse to start, and says why
            system.start(end)
    refused: set[str] = set()
    degraded = False
    for _ in range(AFTER + failing.last):
        bodies = ledger.next(BATCH)
        try:
            safe = system.submit(bodies)
        except Refusal as error:
            safe = error.safe
            degraded = degraded or system.health(failing.end) == "degraded"
        ledger.acknowledge(bodies[:safe])
        refused.update(bodies[safe:])
    if not until_so(lambda: not system.waiting()):
        run.wrong(f"{failing}: {system.waiting()} still wait")
    if failing.end == "sender" and failing.call == "fdatasync" and failing.last > failing.first and started:
        if not refused:
            run.wrong(f"{failing}: a batch was acknowledged though no sync of it had succeeded")
        if not degraded:
            run.wrong(f"{failing}: its health was not degraded while the disk failed")
    if system.health(failing.end) != "good":
        run.wrong(f"{failing}: it is not well again: {system.status(failing.end)}")
    system.kill(failing.end)
    system.start(failing.end)
    if not until_so(lambda: not system.waiting()):
        run.wrong(f"{failing}: {system.waiting()} still wait after a restart")
    delivered = system.delivered()
    verdict = ledger.against(delivered)
    run.lost(len(verdict.lost), f"{failing}: {verdict}")
    run.twice(len(verdict.twice), f"{failing}: {verdict}")
    if verdict.altered or verdict.disordered:
        run.wrong(f"{failing}: {verdict}")
    if phantoms := refused.intersection(delivered):
        run.wrong(
            f"{failing}: {len(phantoms)} messages arrived of which it was said that they are not accepted"
        )
