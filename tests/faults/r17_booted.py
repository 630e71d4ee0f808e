"""R17 on whole machines, with Avahi on port 5353: the link that a session uses goes, and another one comes."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from tests.e2e.publishing import Publishing
from tests.faults.booted import booted, count
from tests.faults.rows import BOOTED, Sweep, row

BACK_WITHIN_S = 5.0


@row("R17", "links that go and come, beside Avahi", of=BOOTED, lane="system", minutes=4)
def sweep(run: Sweep) -> None:
    for folder, seed in run.cases(full=10, bounded=1):
        with booted(run, folder, f"seed {seed}") as machines:
            edge = machines["edge"]
            assert edge.run("systemctl", "is-active", "avahi-daemon").out.strip() == "active"
            with Publishing(edge, "air.temperature", every_s=0.01) as load:
                for round in range(3):
                    load.wait_for(50)
                    machines.other_link(round)
                    machines.lan.cut("edge")
                    accepted = edge.ask("status")["traffic"]["accepted"]
                    began = time.monotonic()
                    edge.until_status(partial(_has_settled, count=accepted + 1), "it finds no other way")
                    took = time.monotonic() - began
                    if took > BACK_WITHIN_S:
                        run.wrong(f"seed {seed}: {took:.1f} s until the other link is used")
                    machines.lan.heal("edge")
                    machines.no_other_link()
            count(run, machines, load.ids, f"seed {seed}")


def _has_settled(status: dict[str, Any], count: int) -> bool:
    return int(status["traffic"]["settled"]) >= count
