"""R05 on whole machines: writes to the disk of the state end in I/O errors; then it is mended, and the count taken."""

from __future__ import annotations

from tests.e2e.publishing import Publishing
from tests.faults.booted import booted, count
from tests.faults.rows import BOOTED, Sweep, row
from tests.system.shelf import shelf

NOTICED_WITHIN_S = 30.0


@row("R05", "I/O errors of the disk under the state", of=BOOTED, lane="system", minutes=4)
def sweep(run: Sweep) -> None:
    for folder, seed in run.cases(full=10, bounded=1):
        with (
            shelf(folder, backing=16 << 20) as disk,
            booted(run, folder, f"seed {seed}", shelf=disk) as machines,
        ):
            edge = machines["edge"]
            machines.lan.cut("hub")
            with Publishing(edge, "air.temperature", every_s=0.0005) as load:
                load.wait_for(100 + seed % 7 * 50)
                disk.fail()
                edge.until(lambda: load.over, "it accepts what it cannot keep", NOTICED_WITHIN_S)
            if "Traceback" in load.complaint:
                run.wrong(f"seed {seed}: {load.complaint}")
            edge.until_status(
                lambda status: status["health"] == "degraded", "it does not say that its disk fails"
            )
            edge.cut()
            disk.unmount()
            disk.mend()
            disk.mount()
            edge.boot()
            count(run, machines, load.ids, f"seed {seed}")
