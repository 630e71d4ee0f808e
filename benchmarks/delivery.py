"""Subjects: readings from a device to a hub."""

from __future__ import annotations

from benchmarks.device import WARM_UP
from benchmarks.rig import rig
from benchmarks.row import NotMeasured, Run


def tcp_packs(run: Run) -> float:
    """Readings a second in packs of about 20, over TCP."""
    count = run.size(200_000, 20_000)
    with rig(run) as parts:
        said = parts.ask("flood", str(count))
        if not said["tcp"]:
            raise NotMeasured("the link never moved to TCP")
        run.notes.update(
            device_cpu_us=said["cpu_us"],
            hub_cpu_us=said["hub_cpu_s"] / (count + WARM_UP) * 1e6,
            accepted_per_s=said["accepted_per_s"],
            per_pack=(count + WARM_UP) / max(1, said["packs"]),
        )
        return float(said["per_s"])
