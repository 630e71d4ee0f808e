"""R02: the power fails at any moment of a real store's life: it opens or is salvaged, and nothing accepted is missing.

`python -m tests.faults.r02_power_loss FOLDER` is that life, to be recorded: starts, commits, checkpoints, ends.
"""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

from kos_edge.store import database
from tests.faults.power import Disk, Op, record
from tests.faults.rows import Sweep, row
from tests.faults.shelf import Shelf

ROUNDS = 12  # commits between restarts
STARTS = 3
MARKS = "marks"
"""A line for each pack, when its commit has returned: the witness that is in the recording itself."""


@row("R02", "power lost: all synced, any of the rest", lane="faults", minutes=12)
def sweep(run: Sweep) -> None:
    lots = random.Random(run.seed)
    life = run.folder / "life"
    life.mkdir()
    ops = record(life, "tests.faults.r02_power_loss")
    if sum(op.call == "sync" for op in ops) < ROUNDS * STARTS:
        run.wrong(f"the recording has {len(ops)} operations, and too few syncs")
        return
    states = run.share(full=10_000, bounded=30)
    moments = sorted(lots.randrange(1, len(ops) + 1) for _ in range(states))
    disk, done = Disk(), 0
    marks: list[str] = []
    for moment in moments:
        for op in ops[done:moment]:
            if op.name == MARKS:
                marks += _marks(op)
            else:
                disk.do(op)
        done = moment
        _case(
            run, disk.after_power_loss(lots), marks, f"seed {run.seed} after operation {moment} of {len(ops)}"
        )

    if not marks:
        run.wrong("nothing was accepted in that life")


def _marks(op: Op) -> list[str]:
    return op.data.decode().splitlines() if op.call == "append" else []


def _case(run: Sweep, files: dict[str, bytes], marks: list[str], told: str) -> None:
    folder = run.folder / "case"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    shelf = Shelf(folder / "kos.db")
    run.case()
    try:
        store = shelf.open()
        found = [_name(place) for place, _ in shelf.packs(store)]
        store.close()
    except Exception as error:
        run.wrong(f"{told}: {type(error).__name__}: {error}")
        return
    missing = [mark for mark in marks if mark not in set(found)]
    run.lost(len(missing), f"{told}: {missing[:1]}")
    run.twice(len(found) - len(set(found)), told)


def _name(place: tuple[object, int]) -> str:
    return f"{place[0]!r} {place[1]}"


def main(folder: Path) -> None:
    """The life to be recorded."""
    database.WAL_PAGES = 100  # so that there are checkpoints in a short life
    shelf = Shelf(folder / "kos.db")
    with (folder / MARKS).open("ab", buffering=0) as marks:
        for start in range(STARTS):
            store = shelf.open()
            if start == 0:
                shelf.found(store)
            for _ in range(ROUNDS):
                before = set(shelf.accepted)
                shelf.fill(store, 1)
                new = [place for place in shelf.accepted if place not in before]
                marks.write("".join(f"{_name(place)}\n" for place in new).encode())
            store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
