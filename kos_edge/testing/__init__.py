"""What tests of agents and of kos-edge itself stand on: virtual time, an in-memory network, a lab of nodes.

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
from kos_edge.testing.lab import Lab, LabNode, in_virtual_time
from kos_edge.testing.loop import Deadlock, VirtualClock, VirtualLoop, run_virtual

__all__ = [
    "Deadlock",
    "Lab",
    "LabNode",
    "ManualClock",
    "MemoryBus",
    "Network",
    "VirtualClock",
    "VirtualLoop",
    "in_virtual_time",
    "load",
    "run_virtual",
]
