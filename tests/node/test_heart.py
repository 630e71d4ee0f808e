"""Heartbeats between whole nodes."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from kos_edge.errors import Invalid
from kos_edge.klp.body import Data
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.message import prepare
from kos_edge.klp.pack import Message, Stream
from kos_edge.mesh.claims import Role
from kos_edge.monitor import beat as beats
from kos_edge.monitor.beat import Beat
from kos_edge.node.heart import CLASS
from kos_edge.node.sections import MonitorSection
from kos_edge.testing import in_virtual_time
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

MINUTELY = MonitorSection(heartbeat_s=60.0)


def changes(machine: Machine) -> int:
    """Rows that were ever written, changed or deleted in this life of its store."""
    return machine.node.writer.store.database._connection.total_changes


async def seen(hub: Machine, name: str) -> dict[str, object]:
    return next(dict(peer) for peer in await hub.operations.peers() if peer["name"] == name)


@in_virtual_time
async def test_a_hub_knows_how_its_members_are_within_seconds_of_their_joining(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub(monitor=MINUTELY)
        edge = await world.member(hub, "edge", monitor=MINUTELY)
        await world.until(lambda: len(hub.node.heart.fleet) == 1, within=5)
        found = await seen(hub, "edge")
        assert found["state"] in ("ok", "warning")
        assert found["health"]["version"]  # type: ignore[index]
        assert (await seen(edge, "hub"))["state"] is None


@in_virtual_time
async def test_an_hour_of_heartbeats_writes_nothing_on_either_side(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub(monitor=MINUTELY)
        edge = await world.member(hub, "edge", monitor=MINUTELY)
        await world.sleep("10m")
        before = [changes(machine) for machine in (hub, edge)]
        await world.sleep("1h")
        assert [changes(machine) for machine in (hub, edge)] == before
        assert len(hub.node.heart.fleet) == 1
        assert await hub.received() == []


@in_virtual_time
async def test_a_silent_member_is_said_once_and_counted_and_so_is_its_return(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="kos_edge.node.heart")
    async with World(tmp_path) as world:
        hub = await world.hub(monitor=MINUTELY)
        edge = await world.member(hub, "edge", monitor=MINUTELY)
        await world.sleep("2m")
        world.isolate(edge)
        await world.sleep("1h")
        assert (await seen(hub, "edge"))["state"] == "silent"
        assert hub.node.heart.fleet.silences == 1
        assert len(edge.node.ring._packs) == 1, "only the newest waits"
        world.network.heal()
        await world.sleep("5m")
        assert (await seen(hub, "edge"))["state"] != "silent"
    said = [record for record in caplog.records if record.name == "kos_edge.node.heart"]
    assert [record.getMessage() for record in said] == [
        "no heartbeat any more from edge",
        "the heart beats again of edge",
    ]


@in_virtual_time
async def test_a_hub_whose_own_heart_is_slow_hears_within_minutes_that_a_member_is_silent(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub(monitor=MonitorSection(heartbeat_s=86_400.0))
        edge = await world.member(hub, "edge", monitor=MINUTELY)
        await world.sleep("2m")
        world.isolate(edge)
        await world.sleep("5m")
        assert hub.node.heart.fleet.silences == 1


@in_virtual_time
async def test_no_heartbeat_where_it_is_off(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub(monitor=MINUTELY)
        await world.member(hub, "edge", monitor=MonitorSection(heartbeat_s=0.0))
        await world.sleep("10m")
        assert len(hub.node.heart.fleet) == 0
        assert (await seen(hub, "edge"))["state"] == "silent"


@in_virtual_time
async def test_a_beat_that_breaks_a_rule_is_counted_and_reaches_no_subscriber(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub(monitor=MINUTELY)
        edge = await world.member(hub, "edge")
        before = hub.node.feed.volatile_serial
        sealer = edge.node.sealer()
        assert sealer is not None
        edge.node.ring.append(
            sealer.mesh,
            Stream(edge.kid, "hub", CLASS, edge.node.writer.store.outbox.epoch),
            [prepare(Message(beats.TOPIC, Data({2: 10**9}, beats.SCHEMA)))],
            mono_ms=0,
            wall_ms=None,
            uncertainty_ms=None,
            now=0.0,
            keep=True,
        )
        edge.node.peers.news()
        await world.until(lambda: hub.node.heart.malformed == 1, within=5)
        assert hub.node.feed.volatile_serial == before
        assert len(hub.node.heart.fleet) == 0


@in_virtual_time
async def test_nobody_publishes_on_topics_of_the_system(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        with pytest.raises(Invalid, match="system's own"):
            await hub.operations.publish(topic="kos.health", values=[1])


@in_virtual_time
async def test_a_thousand_members_are_told_of_within_half_a_second(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub(monitor=MINUTELY)
        await world.sleep("4m")
        node = hub.node
        assert node.trust.admission is not None
        for number in range(1_000):
            public = KeyPair.from_seed(number.to_bytes(32, "big")).public
            node.trust.admission.issuer.admit(public, f"edge-{number}", Role.EDGE, at=node.trust.at())
        for member in node.trust.roster:
            node.heart.fleet.hear(member.kid, Beat("0.1.0", 60, 1), node.clock.monotonic())
        began = time.perf_counter()
        peers = await hub.operations.peers()
        took = time.perf_counter() - began
        assert sum(peer["state"] == "ok" for peer in peers) == 1_000
        assert took < 0.5
