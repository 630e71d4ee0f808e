"""R29 on whole machines: the power goes at any moment of an upgrade and of a rollback, with a queue that waits."""

from __future__ import annotations

import random
import threading
import time

from tests.faults.booted import booted, count
from tests.faults.rows import BOOTED, Sweep, row
from tests.system import packages
from tests.system.plant import queue_up, running, upgrade, version

LONGEST_S = 8.0
"""After which either is over on a machine that does nothing else."""


@row("R29", "power lost in an upgrade or a rollback", of=BOOTED, lane="system", minutes=15)
def sweep(run: Sweep) -> None:
    later = packages.later()
    for folder, seed in run.cases(full=40, bounded=2):
        step = ("upgrade", "rollback")[seed % 2]
        told = f"seed {seed}, {step}"
        with booted(run, folder, told) as machines:
            edge = machines["edge"]
            ids = queue_up(machines)
            if step == "upgrade":
                stepping = threading.Thread(target=upgrade, args=(edge, later))
            else:
                upgrade(edge, later)
                stepping = threading.Thread(target=edge.run, args=("kos-edge", "release", "rollback"))
            stepping.start()
            time.sleep(random.Random(seed).uniform(0.0, LONGEST_S))
            edge.cut()
            stepping.join()
            edge.boot()
            edge.until_status(lambda status: True, "its daemon does not come back")
            assert version(edge) in (packages.version(), packages.LATER)
            edge.must("dpkg", "--configure", "-a")
            if step == "upgrade":
                upgrade(edge, later)
            else:
                edge.must("kos-edge", "release", "activate", packages.LATER)
            assert running(edge) == packages.LATER
            count(run, machines, ids, told)
