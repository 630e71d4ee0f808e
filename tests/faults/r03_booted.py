"""R03 on whole machines: a file of the state or of the configuration is spoiled while the machine is off."""

from __future__ import annotations

import random

from tests.faults.booted import booted, count
from tests.faults.r03_generations import HOWS, spoil
from tests.faults.rows import BOOTED, Sweep, row
from tests.system.machine import STATE
from tests.system.plant import queue_up

FILES = (
    f"{STATE}/node.key", f"{STATE}/node.key.copy", f"{STATE}/kos.meta", f"{STATE}/kos.meta.previous",
    "/etc/kos-edge/config.toml", "/etc/kos-edge/config.d/90-set.toml",
)  # fmt: skip
LIMIT = "54321"


@row("R03", "a spoiled key, meta or configuration file", of=BOOTED, lane="system", minutes=4)
def sweep(run: Sweep) -> None:
    cases = [(name, how) for how in HOWS for name in FILES]
    random.Random(run.seed).shuffle(cases)
    for folder, seed in run.cases(full=len(cases), bounded=2):
        name, how = cases[seed % len(cases)]
        with booted(run, folder, f"{name} {how}") as machines:
            edge = machines["edge"]
            edge.write("/etc/kos-edge/config.toml", '[log]\nlevel = "info"\n')
            edge.must("kos-edge", "config", "set", "queue.max-messages", LIMIT)
            edge.must("systemctl", "restart", "kos-edge")
            kid = edge.ask("status")["kid"]
            ids = queue_up(machines)
            edge.off()
            spoil(edge.root / name.lstrip("/"), how, random.Random(seed))
            edge.boot()
            edge.until_status(lambda status: True, "its daemon does not come back")
            assert edge.ask("status")["kid"] == kid
            assert f"max-messages = {LIMIT}" in edge.must("kos-edge", "config", "show"), edge.journal()
            count(run, machines, ids, f"{name} {how}")
