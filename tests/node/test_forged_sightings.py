"""Whoever forges mDNS records can make a node knock at addresses, now and then, and nothing more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kos_edge.discovery.sighting import Found, Hint, Lost
from kos_edge.mesh.claims import Role
from kos_edge.node.wanted import UNMET
from kos_edge.testing import in_virtual_time
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

FORGED = 256
"""A quarter of what discovery remembers."""


def forged(number: int, mesh: bytes | None, role: Role = Role.HUB) -> Found:
    """A node that is not there, at addresses where nobody answers."""
    hints = tuple(Hint(f"10.9.{number >> 8}.{number & 255}", port, port) for port in range(1, 17))
    return Found(number.to_bytes(16, "big"), role, None if mesh is None else mesh[:8], hints)


def tries(machine: Machine) -> int:
    return sum(known.trying for known in machine.node.peers._known.values())


@in_virtual_time
async def test_forged_hubs_cause_few_tries_at_a_time_and_hide_neither_the_hub_nor_a_member(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge, other = await world.member(hub, "edge"), await world.member(hub, "other")
        peers = edge.node.peers
        for number in range(FORGED):
            peers.heard(forged(number, None if number % 2 else edge.mesh))
        peers.heard(world.sighting(other))
        most, acknowledged = 0, 0
        for _ in range(600):
            if not edge.linked(other):
                await asyncio.sleep(1)
                most = max(most, tries(edge))
                acknowledged += len(await edge.publish("air.temperature", 1))
        assert 0 < most <= UNMET
        assert edge.linked(hub, other)
        await world.drained(edge)
        assert len(await hub.received()) == acknowledged


@in_virtual_time
async def test_what_was_forged_is_forgotten_with_its_record_though_it_was_being_tried(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        peers = edge.node.peers
        before = len(peers.seen())
        for number in range(300):
            peers.heard(forged(number, edge.mesh))
            await asyncio.sleep(0.1)
            peers.heard(Lost(number.to_bytes(16, "big")))
        await asyncio.sleep(60)
        assert len(peers.seen()) == before
        assert edge.linked(hub)


@in_virtual_time
async def test_another_key_at_a_forged_address_gets_no_session(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge, other = await world.member(hub, "edge"), await world.member(hub, "other")
        claimed = bytes(15) + b"\x01"
        sighting = world.sighting(other)
        edge.node.peers.heard(Found(claimed, Role.HUB, sighting.mesh_prefix, sighting.addresses))
        await asyncio.sleep(60)
        assert not edge.linked(other)
        assert claimed not in edge.node.trust.roster
        _, _, complaint = edge.node.peers.seen()[claimed]
        assert "another device" in complaint
