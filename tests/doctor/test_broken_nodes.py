"""Prepared broken nodes: each fault is named, with its mend, and nothing else is called bad."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kos_edge.bootstrap.sequence import Chronicle, Sequence, Step, begin
from kos_edge.doctor.examine import CHECKS, examine
from kos_edge.doctor.finding import Finding
from kos_edge.doctor.patient import Patient
from kos_edge.errors import Refused
from kos_edge.klp.identity import KeyPair
from kos_edge.node.installed import seal
from kos_edge.node.keyfile import find_key, write_key
from kos_edge.node.starts import ChronicleFile, boot_id
from kos_edge.node.uptime import FLOOR_S
from kos_edge.node.vaulting import NodeVault
from tests.control.node import AT, KID, SmallNode

NOW = FLOOR_S + 86_400


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    """A healthy node on a healthy machine, with no daemon and no network of its own."""
    state, root = tmp_path / "node", tmp_path / "root"
    state.mkdir(mode=0o750)
    write_key(state / "node.key", KeyPair.from_seed(bytes(32)))
    (state / "config.toml").write_text('[network]\ninterfaces = ["lo"]\nlisten = ["127.0.0.1:0"]\n')
    synchronised = root / "run/systemd/timesync/synchronized"
    synchronised.parent.mkdir(parents=True)
    synchronised.touch()
    return Patient(state, root=root, wall=lambda: NOW)


def look(patient: Patient, *checks: str) -> list[Finding]:
    """What is found, of some checks or all."""
    asyncio.run(patient.ask())
    return [finding for finding in examine(patient) if not checks or finding.check in checks]


def the_bad(patient: Patient) -> Finding:
    """The one thing that is bad."""
    (found,) = [finding for finding in look(patient) if finding.mark == "bad"]
    assert found.mend
    return found


def configure(patient: Patient, text: str) -> None:
    file = patient.state / "config.toml"
    file.write_text(file.read_text() + text)


def machine_file(patient: Patient, path: str, text: str) -> None:
    file = patient.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_healthy_node_is_called_healthy_by_every_check(patient: Patient) -> None:
    findings = look(patient)
    assert [finding for finding in findings if finding.mark == "bad"] == []
    assert {finding.check for finding in findings} <= set(CHECKS)
    assert [f.said for f in findings if f.mark == "warning"] == ["no daemon runs on this state"]


def _no_node(patient: Patient) -> None:
    (patient.state / "node.key").unlink()


def _open_to_all(patient: Patient) -> None:
    patient.state.chmod(0o777)


def _half_a_key(patient: Patient) -> None:
    key = patient.state / "node.key"
    key.write_bytes(key.read_bytes()[:40])


def _readable_key(patient: Patient) -> None:
    (patient.state / "node.key").chmod(0o644)


def _typo(patient: Patient) -> None:
    configure(patient, "[queue]\nmax-mesages = 5\n")


def _no_clock(patient: Patient) -> None:
    patient.wall = lambda: 100.0


def _read_only(patient: Patient) -> None:
    machine_file(patient, "proc/mounts", "/dev/mmcblk0p2 / ext4 ro,relatime 0 0\n")


def _worn(patient: Patient) -> None:
    machine_file(patient, "sys/block/mmcblk0/device/life_time", "0x02 0x0b\n")


def _no_secret(patient: Patient) -> None:
    NodeVault(patient.state, patient.settings, lambda: NOW).put("wifi", b"12345678")
    configure(patient, '[secret."mqtt.password"]\nagents = ["bridge"]\n')


def _no_vault_key(patient: Patient) -> None:
    NodeVault(patient.state, patient.settings, lambda: NOW).put("wifi", b"12345678")
    (patient.state / "vault.key").unlink()


def _no_interface(patient: Patient) -> None:
    file = patient.state / "config.toml"
    file.write_text(file.read_text().replace('"lo"', '"eth77"'))


def _avahi(patient: Patient) -> None:
    machine_file(patient, "etc/avahi/avahi-daemon.conf", "[server]\ndisallow-other-stacks = yes\n")


def _no_such_host(patient: Patient) -> None:
    file = patient.state / "config.toml"
    file.write_text(file.read_text() + 'peers = ["nobody.invalid:5683"]\n')


def _changed_program(patient: Patient) -> None:
    tree = patient.state.parent / "release"
    tree.mkdir()
    (tree / "kos-edge").write_text("#!")
    key = find_key(patient.state / "node.key").value
    (tree / "kos-edge.manifest").write_bytes(seal(tree, "1.0", key))
    patient.installation = tree
    assert [f.mark for f in look(patient, "installed files")] == ["good"]
    (tree / "kos-edge").write_text("#!/bin/evil")


def _died_at_its_start(patient: Patient) -> None:
    begun = begin(Chronicle(), version="1.0", settings=b"", boot=boot_id(), at=0)
    sequence = Sequence(begun, ChronicleFile(patient.state).write)
    sequence.begin(Step.INTEGRITY, 0.0)


@pytest.mark.parametrize(
    ("harm", "check", "said", "mend"),
    [
        (_no_node, "state", "there is no node in", "kos-edge init"),
        (_open_to_all, "state", "anybody may write", "chmod o-w"),
        (_half_a_key, "key", "half written", "copy"),
        (_readable_key, "key", "others may read", "chmod 600"),
        (_typo, "configuration", "config.toml:5", "max-messages"),
        (_no_clock, "clock", "not set", "NTP"),
        (_read_only, "disk", "read-only", "remount,rw"),
        (_worn, "card", "mmcblk0 has used up its life", "new device"),
        (_no_secret, "vault", "mqtt.password", "kos-edge vault put mqtt.password"),
        (_no_vault_key, "vault", "vault.key is missing", "copy"),
        (_no_interface, "interfaces", "eth77", "ip address"),
        (_avahi, "mdns", "Avahi", "disallow-other-stacks=no"),
        (_no_such_host, "names", "nobody.invalid", "/etc/resolv.conf"),
        (_changed_program, "installed files", "changed: kos-edge", "kos-edge install"),
        (_died_at_its_start, "bootstrap", "died in the step integrity", "bootstrap status"),
    ],
)
def test_a_fault_is_named_with_its_mend(
    patient: Patient, harm: Callable[[Patient], None], check: str, said: str, mend: str
) -> None:
    harm(patient)
    found = the_bad(patient)
    assert found.check == check
    assert said in found.said
    assert mend in (found.mend or "")


def test_a_port_that_another_program_has_is_named(patient: Patient) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        file = patient.state / "config.toml"
        file.write_text(file.read_text().replace("127.0.0.1:0", address))
        found = the_bad(patient)
    assert found.check == "ports"
    assert address in found.said


def test_a_disk_in_memory_and_a_serial_port_that_is_shut_are_warned_of(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_file(patient, "proc/mounts", f"/dev/sda / ext4 rw 0 0\ntmpfs {patient.state} tmpfs rw 0 0\n")
    machine_file(patient, "dev/ttyACM0", "")
    opened = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "tty" not in str(path) and opened(path, mode))
    warned = {f.check: f.said for f in look(patient, "disk", "serial") if f.mark == "warning"}
    assert "forgets what is on it at power-off" in warned["disk"]
    assert "ttyACM0" in warned["serial"]


class Told(SmallNode):
    """A daemon that says something else."""

    def __init__(self, **said: Any) -> None:
        super().__init__()
        self.said = said

    async def status(self) -> Any:
        return {**await super().status(), "warnings": [], **self.said}


def with_daemon(patient: Patient, **said: Any) -> Patient:
    """The patient after its daemon was asked, without a socket."""
    node = Told(**said)

    async def ask() -> None:
        patient.status = await node.status()
        patient.peers = tuple(await node.peers())

    asyncio.run(patient.ask())
    asyncio.run(ask())
    patient.unreachable = None
    return patient


@pytest.mark.parametrize(
    ("word", "mark", "mend"),
    [
        ("none", "warning", "kos-edge join"),
        ("pending", "warning", "kos-edge admit"),
        ("revoked", "bad", "kos-edge leave"),
        ("quarantined", "bad", "kos-edge rekey"),
        ("expired", "bad", "hub"),
    ],
)
def test_each_state_of_a_membership_has_its_next_step(
    patient: Patient, word: str, mark: str, mend: str
) -> None:
    found = [f for f in examine(with_daemon(patient, membership=word)) if f.check == "membership"]
    assert [each.mark for each in found] == [mark]
    assert mend in (found[0].mend or "")


def test_what_the_daemon_and_its_agents_complain_of_is_told(patient: Patient) -> None:
    agent = {
        "name": "bridge",
        "file": None,
        "state": "failed",
        "published": 0,
        "errors": 3,
        "last_error": "no sensor",
    }
    sick = with_daemon(patient, health="degraded", warnings=["the disk is full"], agents=[agent])
    said = {finding.check: finding for finding in examine(sick) if finding.mark == "bad"}
    assert said["health"].said == "the disk is full"
    assert "no sensor" in said["agents"].said


def test_a_hub_that_is_not_connected_and_one_that_mdns_does_not_hear(patient: Patient) -> None:
    there = with_daemon(patient)
    hub: Any = {
        "kid": KID, "name": "attic", "role": "hub", "standing": "member", "connected": False, "carrier": None,
        "address": None, "round_trip_s": None, "last_seen_at": AT, "found_by": None, "expires_at": None,
    }  # fmt: skip
    there.peers = (hub,)
    (found,) = [f for f in examine(there) if f.check == "peers"]
    assert (found.mark, "attic is not connected" in found.said) == ("bad", True)
    hub |= {"connected": True, "carrier": "udp", "address": "10.0.0.1:5683", "found_by": "address"}
    marks = [(f.mark, "mDNS does not hear it" in f.said) for f in examine(there) if f.check == "peers"]
    assert marks == [("good", False), ("warning", True)]


def test_a_daemon_that_does_not_let_this_user_in_is_told_with_what_it_says(patient: Patient) -> None:
    asyncio.run(patient.ask())
    patient.unreachable = Refused("this user may not talk to the daemon", hint="join the group")
    (found,) = [f for f in examine(patient) if f.check == "daemon"]
    assert (found.mark, found.mend) == ("bad", "join the group")


def test_a_card_that_will_not_live_for_a_year_at_this_rate(patient: Patient) -> None:
    configure(patient, '[monitor]\ncard-endurance = "1TB"\n')
    device = os.stat(patient.state).st_dev
    machine_file(patient, f"sys/dev/block/{os.major(device)}:{os.minor(device)}/size", "62500000\n")
    machine_file(
        patient,
        f"sys/dev/block/{os.major(device)}:{os.minor(device)}/stat",
        f"1 0 1 1 1 0 {10 * 10**9 // 512} 1 0 1 1",
    )
    machine_file(patient, "proc/uptime", "86400.0 1.0\n")
    (found,) = [finding for finding in look(patient, "card") if finding.mark == "warning"]
    assert "worn out in 100 days" in found.said
    assert "1 TB ([monitor] card-endurance)" in found.said
