"""R01: SIGKILL in the middle of any call that changes something outside, on either side, with load and backlog."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tests.e2e.boxes import ROOT, Box
from tests.faults.edge_and_hub import EdgeAndHub
from tests.faults.rows import Sweep, row
from tests.faults.script import BATCH, Blow, End, SenderLedger, killed

WARM_BATCHES = 30
"""Batches before the state is kept: the log is then nearly full, so that each case comes to a checkpoint."""

BATCHES = 12
CALLS: dict[End, dict[str, int]] = {
    "sender": {"pwrite64": 700, "fdatasync": 20, "sendto": 60, "write": 10, "ftruncate": 3, "unlink": 1},
    "receiver": {"pwrite64": 650, "fdatasync": 14, "sendto": 30, "write": 10, "ftruncate": 3, "unlink": 1},
}
"""How often one thread of each side makes each call from its start to the end of a case, about."""


@row("R01", "killed at every n-th write, sync, send, unlink", lane="faults", minutes=12)
def sweep(run: Sweep) -> None:
    system = EdgeAndHub(run.folder)
    kept = run.folder / "kept"
    system.set_up()
    try:
        warm(system, run.folder)
        system.keep(kept)
        blows = schedule(random.Random(run.seed), run.share(full=150, bounded=4))
        for number, blow in enumerate(blows):
            system.restore(kept)
            ledger = SenderLedger(run.folder / "sent", f"case-{number}")
            try:
                outcome = killed(system, blow, ledger, BATCHES)
            finally:
                ledger.close()
                system.close()
            verdict = outcome.verdict
            run.case()
            run.lost(len(verdict.lost), f"{blow}: {verdict}")
            run.twice(len(verdict.twice), f"{blow}: {verdict}")
            if verdict.altered or verdict.disordered:
                run.wrong(f"{blow}: {verdict}")
            for why in outcome.wrong:
                run.wrong(f"{why}; the receiver said {system.said('receiver')[-600:]}")
    finally:
        system.close()
    for number, blow in enumerate(beginnings()[: run.share(full=40, bounded=1)]):
        _begin(run, run.folder / f"new-{number}", blow)


def beginnings() -> list[Blow]:
    """Blows while a node is made: its store with its tables, its files, its key."""
    limits = {"rename": 5, "fsync": 12, "fdatasync": 8, "pwrite64": 60, "unlink": 4, "write": 6}
    return [
        Blow("sender", call, nth)
        for call, most in limits.items()
        for nth in range(1, most + 1, max(1, most // 8))
    ]


def _begin(run: Sweep, state: Path, blow: Blow) -> None:
    """`init` is killed, and done again: there is one node, whole, whose store serves."""
    box = Box(state)
    words = box.line("init", "--role", "hub", "--name", "new")
    subprocess.run([*blow.prefix, *words], cwd=ROOT, capture_output=True, check=False)
    run.case()
    again = box("init", "--role", "hub", "--name", "new")
    if again.code != 0 and "there is a node" not in again.err:
        run.wrong(f"init, {blow}, and then: {again.err}")
    done = box("publish", "air.temperature", "1")
    if done.code != 0:
        run.wrong(f"init, {blow}, init again, and then: {done.err}")


def warm(system: EdgeAndHub, folder: Path) -> None:
    """Fill both logs, with a backlog at the sender, and end as a power cut would: without a last checkpoint."""
    ledger = SenderLedger(folder / "warm", "warm")
    system.start("receiver")
    system.start("sender")
    for number in range(WARM_BATCHES):
        if number == WARM_BATCHES - 2:
            system.kill("receiver")
        assert system.submit(ledger.next(BATCH)) == BATCH
    system.kill("sender")
    ledger.close()


def schedule(lots: random.Random, count: int, calls: dict[End, dict[str, int]] = CALLS) -> list[Blow]:
    """So many blows: each call of each side at steps over its range, a third of the sender's in an outage."""
    chosen: list[Blow] = []
    kinds = [(end, call, limit) for end, calls in calls.items() for call, limit in calls.items()]
    lots.shuffle(kinds)
    places = {kind: _steps(kind[2], lots) for kind in kinds}
    while len(chosen) < count and places:
        for kind in [kind for kind in kinds if kind in places]:
            share = 4 if kind[1] == "pwrite64" else 2 if kind[1] in ("fdatasync", "sendto") else 1
            for nth in islice(places[kind], share):
                outage = kind[0] == "sender" and lots.random() < 1 / 3
                chosen.append(Blow(kind[0], kind[1], nth, outage))
            if kind[2] <= share or sum(b.end == kind[0] and b.call == kind[1] for b in chosen) >= kind[2]:
                del places[kind]
    return chosen[:count]


def _steps(limit: int, lots: random.Random) -> Iterator[int]:
    """Every number up to `limit` once, spread over the range from the beginning on."""
    numbers = list(range(1, limit + 1))
    lots.shuffle(numbers)
    return iter(numbers)
