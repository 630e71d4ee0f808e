"""R19, the handshake's part, on whole nodes: a byte that is flipped on the wire costs that handshake, and nothing else.

That every bit of messages 1 to 4 is caught is shown on the machines, in tests/bootstrap.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kos_edge.errors import KosError
from kos_edge.mesh.membership import Membership
from kos_edge.node.inbound import TRUST_PATH
from kos_edge.node.node import STORE_NAME
from kos_edge.testing import in_virtual_time
from kos_edge.transport.address import Address
from kos_edge.transport.coap import CHANGED, POST, Request
from kos_edge.transport.memory import PORT, Network
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

STEP = 5
"""Every fifth byte of every datagram; all of them would take ten seconds."""


class Meddling(Network):
    """Flips one byte of one datagram between two hosts, counted from when it is armed.

    The sender's repetition comes through.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hosts: set[str] = set()
        self.sizes: list[int] = []
        self._datagram = self._byte = -1

    def arm(self, datagram: int, byte: int) -> None:
        self.sizes, self._datagram, self._byte = [], datagram, byte

    def carry(self, source: Address, target: Address, data: bytes) -> None:
        if {source.host, target.host} != self.hosts:
            super().carry(source, target, data)
            return
        if len(self.sizes) == self._datagram:
            data = data[: self._byte] + bytes([data[self._byte] ^ 0xFF]) + data[self._byte + 1 :]
        self.sizes.append(len(data))
        super().carry(source, target, data)


def kept(*machines: Machine) -> list[list[str]]:
    found = []
    for machine in machines:
        with closing(sqlite3.connect(machine.state / STORE_NAME)) as database:
            found.append(list(database.iterdump()))
    return found


async def handshake(one: Machine, other: Machine) -> bool:
    """One handshake with a first request, as a link does it; whether it succeeded."""
    try:
        reached = await one.node.handshakes.reach(Address("udp", other.address, PORT), kid=other.kid)
        assert reached.peer.kid == other.kid
        request = Request(POST, TRUST_PATH, one.node.trust.news_request())
        response = await reached.session.request(request, timeout=8.0, handshake=reached.message_3)
        assert response.code == CHANGED
    except KosError:
        return False
    finally:
        for machine in (one, other):
            for session in machine.node.endpoint.sessions:
                assert isinstance(session.peer, Membership)
                assert session.peer.kid in (one.kid, other.kid)
                session.close("tried")
    return True


def test_a_flipped_byte_costs_the_handshake_at_most(tmp_path: Path) -> None:
    @in_virtual_time
    async def story() -> None:
        network = Meddling()
        async with World(tmp_path, network=network) as world:
            hub = await world.hub()
            one, other = await world.member(hub, "one"), await world.member(hub, "other")
            await hub.stop()
            await world.until(lambda: not (one.node.endpoint.sessions or other.node.endpoint.sessions))
            network.hosts = {one.address, other.address}
            assert await handshake(one, other)
            sizes = network.sizes[:4]  # message_1, message_2, message_3 with the request, the answer to that
            before, outcomes = kept(one, other), []
            for datagram, size in enumerate(sizes):
                for byte in range(0, size, STEP):
                    network.arm(datagram, byte)
                    outcomes.append(await handshake(one, other))
                    await asyncio.sleep(12)
            assert kept(one, other) == before
            assert outcomes.count(False) > len(outcomes) / 2
            assert await handshake(one, other), "the next one is as good as ever"

    story()
