"""R06 on whole machines: somebody fills the disk of the state to the last block, or takes every inode."""

from __future__ import annotations

from tests.e2e.publishing import Publishing
from tests.faults.booted import booted, count
from tests.faults.rows import BOOTED, Sweep, row
from tests.system.machine import STATE, Machine
from tests.system.shelf import shelf

NOTICED_WITHIN_S = 60.0
EVERY_INODE = f"i=0; while : 2>/dev/null > {STATE}/filler.$i; do i=$((i+1)); done; true"


def _fill(edge: Machine, how: str) -> None:
    if how == "blocks":
        edge.run("dd", "if=/dev/zero", f"of={STATE}/filler", "bs=4k")
    else:
        edge.run("sh", "-c", EVERY_INODE)


@row("R06", "the disk of the state full: blocks, or inodes", of=BOOTED, lane="system", minutes=4)
def sweep(run: Sweep) -> None:
    for folder, seed in run.cases(full=8, bounded=2):
        how = ("blocks", "inodes")[seed % 2]
        with shelf(folder, size=16 << 20) as disk, booted(run, folder, how, shelf=disk) as machines:
            edge = machines["edge"]
            machines.lan.cut("hub")
            pid = edge.ask("status")["pid"]
            with Publishing(edge, "air.temperature", every_s=0.0005) as load:
                load.wait_for(200)
                _fill(edge, how)
                if how == "blocks":
                    edge.until(lambda: load.over, "it accepts what it cannot keep", NOTICED_WITHIN_S)
            if "Traceback" in load.complaint:
                run.wrong(f"{how}: {load.complaint}")
            assert edge.ask("status")["pid"] == pid, "a full disk ended the daemon"
            edge.must("sh", "-c", f"rm -f {STATE}/filler*")
            with Publishing(edge, "air.temperature") as more:
                more.wait_for(50)
            assert edge.ask("status")["pid"] == pid
            count(run, machines, [*load.ids, *more.ids], how)
