"""The package on real machines: installed, joined, watched, purged."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e.publishing import Publishing
from tests.system.machine import Machine
from tests.system.plant import (
    Plant,
    connected,
    drained,
    exposure,
    invitation,
    ledger,
    make_hub,
    seconds_to_ready,
    unpack,
)

pytestmark = pytest.mark.system

JOINED_WITHIN_S = 60.0
READY_WITHIN_S = 2.0
"""Numbers of the issue; a busy machine takes a tenth of the first."""
SHORT_WATCHDOG = "[Service]\nWatchdogSec=4\n"


def files(machine: Machine) -> set[str]:
    """Every file of the machine's own layer that is not a log, a cache or a package manager's note."""
    roots = ("/etc", "/opt", "/root", "/usr", "/var", "/home", "/srv")
    found = machine.must("find", *roots, "-xdev", "-not", "-type", "d").splitlines()
    apart = ("/var/log/", "/var/cache/", "/var/lib/apt/", "/var/lib/dpkg/", "/var/lib/systemd/")
    passed = {"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"}
    return {name for name in found if not name.startswith(apart) and name.rstrip("-") not in passed}


def test_a_bare_machine_becomes_a_member_with_one_command(bare: Plant, package: Path) -> None:
    hub, edge = bare["hub"], bare["edge"]
    make_hub(hub, package)
    unpack(edge, package)
    token = invitation(hub)
    start = time.monotonic()
    edge.must("kos-edge", "install", "--role", "edge", "--join", token)
    connected(edge)
    assert time.monotonic() - start < JOINED_WITHIN_S
    assert edge.run("systemctl", "is-enabled", "kos-edge").out.strip() == "enabled"
    edge.must("systemctl", "restart", "kos-edge")
    assert seconds_to_ready(edge) < READY_WITHIN_S
    edge.must("kos-edge", "publish", "air.temperature", "21.5", "--unit", "Cel")
    drained(edge)
    (message,) = (
        line for line in hub.must("kos-edge", "export", "--format", "jsonl").splitlines() if "21.5" in line
    )
    assert "air.temperature" in message


def test_a_healthy_node_is_all_green(pair: Plant) -> None:
    for machine in pair.machines.values():
        connected(machine)
        done = machine.run("kos-edge", "doctor")
        assert done.code == 0, (done.out, machine.journal())


def test_the_unit_is_hardened_on_this_systemd(pair: Plant) -> None:
    edge = pair["edge"]
    assert edge.run("systemd-analyze", "verify", "kos-edge.service").err == ""
    assert exposure(edge) <= 2.0


def test_installing_again_changes_nothing(pair: Plant, package: Path) -> None:
    edge = pair["edge"]
    kid = edge.ask("status")["kid"]
    before = files(edge)
    edge.must("kos-edge", "install")
    unpack(edge, package)
    assert edge.ask("status")["kid"] == kid
    assert files(edge) == before


def test_a_hung_daemon_is_ended_by_the_watchdog_and_loses_nothing(pair: Plant) -> None:
    hub, edge = pair["hub"], pair["edge"]
    edge.write("/etc/systemd/system/kos-edge.service.d/short.conf", SHORT_WATCHDOG)
    edge.must("systemctl", "daemon-reload")
    edge.must("systemctl", "restart", "kos-edge")
    connected(edge)
    pid = edge.must("systemctl", "show", "kos-edge", "-p", "MainPID", "--value").strip()
    with Publishing(edge, "air.temperature") as load:
        load.wait_for(100)
        edge.must("kill", "-STOP", pid)
        edge.until(
            lambda: (
                edge.must("systemctl", "show", "kos-edge", "-p", "MainPID", "--value").strip()
                not in (pid, "0")
            ),
            "the watchdog does not end it",
        )
    connected(edge)
    drained(edge)
    assert ledger(load.ids, hub).lost == 0
    assert "watchdog" in edge.journal(lines=100).lower()


def test_a_power_cut_loses_nothing_that_was_accepted(pair: Plant) -> None:
    hub, edge = pair["hub"], pair["edge"]
    connected(edge)
    ids: list[str] = []
    for _ in range(3):
        with Publishing(edge, "air.temperature", every_s=0.001) as load:
            load.wait_for(300)
            edge.cut()
        ids += load.ids
        edge.boot()
        connected(edge)
    hub.cut()
    hub.boot()
    connected(edge)
    drained(edge)
    result = ledger(ids, hub)
    assert (result.lost, result.twice) == (0, 0), result
    assert result.accepted >= 900


def test_a_purge_leaves_nothing(bare: Plant, package: Path) -> None:
    edge = bare["edge"]
    before = files(edge)
    make_hub(edge, package)
    edge.must("kos-edge", "vault", "put", "wifi", stdin="secret")
    edge.must("apt-get", "purge", "--yes", "kos-edge")
    assert files(edge) - before == set()
    assert edge.run("getent", "passwd", "kos-edge").code != 0
    assert not (edge.root / "var/lib/kos-edge").exists()


def test_removing_without_a_purge_keeps_the_queue(pair: Plant, package: Path) -> None:
    hub, edge = pair["hub"], pair["edge"]
    connected(edge)
    bare_lan = pair.lan
    bare_lan.cut("hub")
    done = edge.must("kos-edge", "publish", "air.temperature", "1")
    edge.must("apt-get", "remove", "--yes", "kos-edge")
    assert edge.run("kos-edge", "--version").code == 127
    bare_lan.heal("hub")
    unpack(edge, package)
    edge.must("kos-edge", "install")
    connected(edge)
    drained(edge)
    assert ledger(done.split(), hub).lost == 0
