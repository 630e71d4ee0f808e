"""The simulated world of `kos_edge.testing`, with the ledger that judges its journals afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from kos_edge.cli.demo.ledger import Ledger, compare
from kos_edge.testing.machine import Machine
from kos_edge.testing.world import PATIENCE, TRIES, flapping
from kos_edge.testing.world import World as Simulated

__all__ = ["PATIENCE", "TRIES", "Machine", "World", "flapping"]


class World(Simulated):
    """Machines on one network, in virtual time."""

    async def ledger(self, senders: Sequence[Machine], receiver: Machine) -> Ledger:
        """Stop them all and compare their journals; raises if an acknowledged message is not accounted for."""
        for machine in (*senders, receiver):
            if machine.running:
                await machine.stop()
        return compare([sender.state for sender in senders], receiver.state)
