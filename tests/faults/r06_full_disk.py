"""R06: the disk of either side is full, to the last byte or the last inode, and then is not any more."""

from __future__ import annotations

from typing import get_args

from tests.faults.edge_and_hub import EdgeAndHub
from tests.faults.rows import Sweep, row
from tests.faults.script import End, Fullness, SenderLedger, SmallDisk, full

INODES = 40
"""Of the small disk where these are what runs out: a state has about ten files."""


@row("R06", "the disk full: 8 MB, or no inodes", lane="faults", minutes=3)
def sweep(run: Sweep) -> None:
    hows: tuple[Fullness, ...] = get_args(Fullness)
    ends: tuple[End, ...] = get_args(End)
    cases = [(end, how) for how in hows for end in ends]
    for end, how in cases[: run.share(full=len(cases), bounded=2)]:
        folder = run.folder / f"{end} {how}".replace(" ", "-")
        folder.mkdir()
        system = EdgeAndHub(folder)
        disk = SmallDisk(system.state(end), inodes=INODES if how == "no inodes" else 0)
        ledger = SenderLedger(run.folder / "sent", f"{end}-{how}".replace(" ", "-"))
        with disk.mounted():
            try:
                system.set_up()
                outcome = full(system, disk, end, how, ledger)
            finally:
                ledger.close()
                system.close()
        run.case()
        run.lost(len(outcome.verdict.lost), f"{end}, {how}: {outcome.verdict}")
        run.twice(len(outcome.verdict.twice), f"{end}, {how}: {outcome.verdict}")
        if outcome.verdict.altered or outcome.verdict.disordered:
            run.wrong(f"{end}, {how}: {outcome.verdict}")
        for why in outcome.wrong:
            run.wrong(f"{end}: {why}; it said {system.said(end)[-300:]}")
