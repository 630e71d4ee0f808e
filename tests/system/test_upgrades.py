"""A newer version beside the old one: taken when it is healthy, given back when it is not; the queue is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.publishing import Publishing
from tests.system import packages
from tests.system.plant import (
    INSTALL_WITHIN_S,
    Plant,
    arrived,
    connected,
    drained,
    invitation,
    queue_up,
    running,
    unpack,
    upgrade,
    version,
)

pytestmark = pytest.mark.system


def all_arrive(plant: Plant, ids: list[str]) -> None:
    result = arrived(plant, ids)
    assert (result.lost, result.twice) == (0, 0), result


def test_an_upgrade_keeps_a_live_queue_and_a_rollback_too(pair: Plant, later: Path) -> None:
    edge = pair["edge"]
    kid = edge.ask("status")["kid"]
    ids = queue_up(pair)
    done = upgrade(edge, later)
    assert done.returncode == 0, done
    assert version(edge) == running(edge) == packages.LATER
    status = edge.ask("status")
    assert status["kid"] == kid
    assert status["queue"]["messages"] >= len(ids)  # and it may have registered its new version
    ids += edge.must("kos-edge", "publish", "air.temperature", "2").split()
    edge.must("kos-edge", "release", "rollback")
    assert version(edge) == running(edge) == packages.version()
    assert edge.ask("status")["queue"]["messages"] >= len(ids)
    all_arrive(pair, ids)


def test_a_bad_upgrade_is_rolled_back_by_itself(pair: Plant, broken: Path) -> None:
    edge = pair["edge"]
    ids = queue_up(pair)
    with Publishing(edge, "air.humidity") as load:
        load.wait_for(10)
        done = upgrade(edge, broken)
    assert done.returncode != 0
    assert f"{packages.BROKEN} did not become healthy" in done.stdout, done
    assert f"{packages.version()} runs again" in done.stdout, done
    assert version(edge) == running(edge) == packages.version()
    assert edge.run("systemctl", "is-active", "kos-edge").out.strip() == "active"
    all_arrive(pair, [*ids, *load.ids])
    assert edge.run("kos-edge", "doctor").code == 0  # though the other package was sealed with another key


def test_a_full_disk_in_an_upgrade_leaves_the_machine_as_it_was(pair: Plant, later: Path) -> None:
    edge = pair["edge"]
    ids = queue_up(pair)
    free = int(edge.must("df", "--output=avail", "-B1", "/usr").split()[-1])
    place = edge.take(later, f"/var/cache/{later.name}")
    edge.must("fallocate", "-l", str(free - later.stat().st_size - (4 << 20)), "/usr/full")
    done = edge.run("apt-get", "install", "--yes", place, within=INSTALL_WITHIN_S)
    assert done.code != 0
    assert version(edge) == running(edge) == packages.version()
    edge.must("rm", "/usr/full")
    done = edge.run("apt-get", "install", "--yes", place, within=INSTALL_WITHIN_S)
    assert done.code == 0, done
    assert running(edge) == packages.LATER
    all_arrive(pair, ids)
    unpack(edge, later)


def test_moving_to_another_mesh_keeps_the_queue(pair: Plant) -> None:
    hub, edge = pair["hub"], pair["edge"]
    connected(edge)
    ids = queue_up(pair)
    said = edge.must("kos-edge", "leave")
    assert f"{len(ids)} messages" in said
    pair.lan.heal("hub")
    edge.must("kos-edge", "join", invitation(hub))
    connected(edge)
    edge.must("kos-edge", "queue", "retry", "--all")
    drained(edge)
    there = hub.must("kos-edge", "export", "--format", "jsonl", "--topic", "air.temperature").splitlines()
    values = [json.loads(line)["body"] for line in there]
    assert values == list(range(len(ids)))
