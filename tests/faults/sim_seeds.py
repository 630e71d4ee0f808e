"""SIM: fleets in virtual time with faults from seeds; every promise checked throughout."""

from __future__ import annotations

from kos_edge.testing.simulate import block
from tests.faults.rows import Sweep, row


@row(
    "SIM",
    "simulated fleets: crashes, power cuts, full disks, bad networks, wrong clocks, by seed",
    minutes=30,
)
def sweep(run: Sweep) -> None:
    """`make test` tries the first 500 elsewhere, in parallel: tests/testing/test_simulator.py."""
    first = run.seed * 1_000_000 + 1_000
    for seed in range(first, first + run.share(full=10_000, bounded=15)):
        for verdict in block([seed]):
            if verdict.broken:
                run.wrong(str(verdict))
        run.case()
