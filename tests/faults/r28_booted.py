"""R28 on whole machines: a link that comes and goes for two hours; memory and descriptors stay flat."""

from __future__ import annotations

import time

from tests.e2e.publishing import Publishing
from tests.faults.booted import booted, count
from tests.faults.rows import BOOTED, Sweep, row
from tests.system.machine import Machine

UP_S, DOWN_S = 8.0, 4.0
GROWTH = 1.05
"""What memory may grow by from the first third to the last, as a factor: the allocator breathes."""


@row("R28", "a flapping link; memory and descriptors", of=BOOTED, lane="system", minutes=122)
def sweep(run: Sweep) -> None:
    seconds = run.share(full=7_200, bounded=30)
    with booted(run, run.folder, "soak") as machines:
        hub, edge = machines["hub"], machines["edge"]
        samples: dict[str, list[tuple[int, int]]] = {"hub": [], "edge": []}
        end = time.monotonic() + seconds
        with Publishing(edge, "air.temperature", every_s=0.05) as load:
            while time.monotonic() < end:
                machines.lan.cut("edge")
                time.sleep(DOWN_S)
                machines.lan.heal("edge")
                time.sleep(UP_S)
                run.case()
                for name, machine in (("hub", hub), ("edge", edge)):
                    samples[name].append(_size(machine))
        for name, taken in samples.items():
            third = max(1, len(taken) // 3)
            for what, of in (("bytes of memory", 0), ("descriptors", 1)):
                early = max(sample[of] for sample in taken[: 2 * third])
                late = max(sample[of] for sample in taken[-third:])
                if late > early * GROWTH:
                    run.wrong(f"{name}: {what} grew from {early} to {late} in {seconds} s")
        count(run, machines, load.ids, "soak")


def _size(machine: Machine) -> tuple[int, int]:
    """Resident bytes and open descriptors of its daemon."""
    pid = machine.ask("status")["pid"]
    text = machine.must("cat", f"/proc/{pid}/status")
    resident = next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("VmRSS"))
    return resident, len(machine.must("ls", f"/proc/{pid}/fd").splitlines())
