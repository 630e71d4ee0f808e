"""What tests of agents and of kos-edge itself stand on: virtual time, an in-memory network, a lab of nodes.

`World` has whole nodes, with their keys, their stores and disks that fail; docs/simulator.md shows it.

from kos_edge.testing import Lab, in_virtual_time

@in_virtual_time
async def test_it_measures_every_minute():
    async with Lab() as lab:
        node = lab.node("greenhouse")
        node.run(agent)
        await lab.advance("2m")
        assert len(node.values("greenhouse.air.temperature")) == 3
"""

from __future__ import annotations

from kos_edge.agents.loader import load
from kos_edge.clock import ManualClock
from kos_edge.testing.bus import MemoryBus, Network
from kos_edge.testing.disk import Ailment, Disk
from kos_edge.testing.lab import Lab, LabNode, in_virtual_time
from kos_edge.testing.loop import EPOCH, Deadlock, VirtualClock, VirtualLoop, run_virtual
from kos_edge.testing.machine import Machine
from kos_edge.testing.world import World, flapping
from kos_edge.transport.faults import Faults

__all__ = [
    "EPOCH",
    "Ailment",
    "Deadlock",
    "Disk",
    "Faults",
    "Lab",
    "LabNode",
    "Machine",
    "ManualClock",
    "MemoryBus",
    "Network",
    "VirtualClock",
    "VirtualLoop",
    "World",
    "flapping",
    "in_virtual_time",
    "load",
    "run_virtual",
]
