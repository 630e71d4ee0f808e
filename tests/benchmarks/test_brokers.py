"""Real brokers: started, filled, killed and drained once each, as the rows and the figures beside ours do it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from benchmarks.brokers import jetstream, mosquitto, programs
from benchmarks.brokers.server import running, until
from kos_edge.testing.ports import free_port

pytestmark = pytest.mark.brokers

BODIES = [b"%d" % number for number in range(50)]
SOON_S = 20.0


def test_a_bridge_of_mosquittos_brings_what_was_published_to_the_session_of_the_application(
    tmp_path: Path,
) -> None:
    hub = mosquitto.server(tmp_path / "hub", mosquitto.SAVING)
    edge = mosquitto.server(tmp_path / "edge", mosquitto.SAVING, mosquitto.Bridge(hub.port))
    with running(hub), running(edge):
        mosquitto.subscribe(hub.port)
        with mosquitto.Publisher.connected(edge.port) as publisher:
            assert publisher.publish(BODIES, SOON_S) == len(BODIES)
        assert mosquitto.drain(hub.port, quiet_s=1.0) == BODIES


def test_a_publisher_hears_that_its_mosquitto_is_gone(tmp_path: Path) -> None:
    with (
        running(mosquitto.server(tmp_path)) as server,
        mosquitto.Publisher.connected(server.port) as publisher,
    ):
        assert publisher.publish(BODIES[:1], SOON_S) == 1
        server.kill()
        assert publisher.publish(BODIES[1:], SOON_S) == 0
    assert server.pid is None


@pytest.mark.parametrize("settings", [jetstream.AS_IT_COMES, jetstream.SYNCING], ids=lambda one: one.name)
def test_a_stream_takes_over_what_a_leaf_has_acknowledged_and_lived_through_a_kill(
    settings: jetstream.Settings, tmp_path: Path
) -> None:
    leaves = free_port()
    hub = jetstream.server(tmp_path / "hub", settings, leaves=leaves)
    edge = jetstream.server(tmp_path / "edge", settings, domain="edge", leaf=jetstream.Leaf(leaves))
    with running(hub), running(edge):
        asyncio.run(jetstream.make_stream(edge.port))
        asyncio.run(jetstream.make_journal(hub.port, "edge"))
        named = [(str(number), body) for number, body in enumerate(BODIES)]
        assert asyncio.run(jetstream.publish(edge.port, named, SOON_S)) == (len(BODIES), "")
        edge.kill()
        assert edge.start(), edge.log
        assert until(lambda: asyncio.run(jetstream.held(hub.port, jetstream.JOURNAL)) >= len(BODIES), SOON_S)
        assert asyncio.run(jetstream.take(hub.port, jetstream.JOURNAL)) == BODIES


def test_the_brokers_are_processes_of_ours_and_no_service_of_the_system(tmp_path: Path) -> None:
    with running(mosquitto.server(tmp_path)) as server:
        pid = server.pid
        assert pid is not None
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] == str(os.getpid())
    assert programs.present()
