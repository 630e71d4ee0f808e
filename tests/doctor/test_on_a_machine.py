"""Faults of a machine's network and disks, made for real: network namespaces, and small file systems. Needs root."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kos_edge.klp.identity import KeyPair
from kos_edge.node.keyfile import write_key
from tests.discovery.links import ROOT, Machine, cable, ip, machines, port_5353_taken

pytestmark = pytest.mark.netns


@pytest.fixture
def machine() -> Iterator[Machine]:
    """One with a cable to another."""
    with machines("shed", "attic") as (shed, attic):
        cable(shed, attic)
        shed.up("eth0", "192.0.2.1/24")
        attic.up("eth0", "192.0.2.2/24")
        yield shed


@contextmanager
def small_disk(folder: Path, *, size: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def doctor(machine: Machine, state: Path) -> dict[str, list[str]]:
    """What is bad by its check, and the exit code says whether anything is."""
    command = machine.python("-m", "kos_edge.cli", "--state", str(state), "doctor", "--json")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    bad: dict[str, list[str]] = {}
    for finding in report["findings"]:
        if finding["mark"] == "bad":
            assert finding["mend"]
            bad.setdefault(finding["check"], []).append(finding["said"])
    assert done.returncode == (1 if bad else 0), done.stderr
    assert report["healthy"] is not bool(bad)
    return bad


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "node"
    path.mkdir(mode=0o750)
    write_key(path / "node.key", KeyPair.from_seed(bytes(32)))
    return path


def test_a_machine_with_a_network_has_nothing_bad(machine: Machine, state: Path) -> None:
    assert doctor(machine, state) == {}


def test_an_interface_without_multicast_is_named(machine: Machine, state: Path) -> None:
    ip("-n", machine.name, "link", "set", "eth0", "multicast", "off")
    bad = doctor(machine, state)
    assert list(bad) == ["multicast"]
    assert "eth0 does not hear what it says" in bad["multicast"][0]
    assert "switched off" in bad["multicast"][0]


def test_a_program_that_keeps_the_port_of_mdns_for_itself_is_named(machine: Machine, state: Path) -> None:
    with port_5353_taken(machine):
        bad = doctor(machine, state)
    assert list(bad) == ["mdns"]
    assert "python" in bad["mdns"][0]
    assert "does not share it" in bad["mdns"][0]


def test_a_disk_with_no_room_and_one_that_is_read_only_are_named(machine: Machine, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", size="4M") as disk:
        state = disk / "node"
        state.mkdir(mode=0o750)
        write_key(state / "node.key", KeyPair.from_seed(bytes(32)))
        bad = doctor(machine, state)
        assert list(bad) == ["disk"]
        assert "MB are free" in bad["disk"][0]
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert any("read-only" in said for said in doctor(machine, state)["disk"])
