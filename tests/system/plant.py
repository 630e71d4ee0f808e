"""A hub and its edges: machines on one bridge, switched on, with the package installed when a test wants it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kos_edge.cli.demo.stage import Namespaces
from tests.e2e.publishing import Publishing
from tests.system import image
from tests.system.machine import Machine

INSTALL_WITHIN_S = 120.0
OTHER = "eth1"
QUEUED = 300
"""Readings that `queue_up` leaves waiting."""


@dataclass
class Plant:
    """Machines by name, and the bridge between them."""

    machines: dict[str, Machine]
    lan: Namespaces

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def other_link(self, number: int = 0) -> None:
        """A cable from the hub to the edge, beside the bridge; each number has addresses of its own."""
        spaces = [self.lan.space(name) for name in ("hub", "edge")]
        _ip(
            "link",
            "add",
            OTHER,
            "netns",
            spaces[0],
            "type",
            "veth",
            "peer",
            "name",
            OTHER,
            "netns",
            spaces[1],
        )
        for end, space in enumerate(spaces, start=1):
            _ip("-n", space, "address", "add", f"10.78.{number}.{end}/24", "dev", OTHER)
            _ip("-n", space, "link", "set", OTHER, "up")

    def no_other_link(self) -> None:
        """Pull that cable."""
        _ip("-n", self.lan.space("hub"), "link", "delete", OTHER)


@contextlib.contextmanager
def plant(
    folder: Path,
    *names: str,
    release: str = image.BOOKWORM,
    disks: Mapping[str, Path] | None = None,
    shelves: Mapping[str, Path] | None = None,
) -> Iterator[Plant]:
    """These machines, switched on; nothing of them runs afterwards. `disks` and `shelves`: those of
    `Machine`, by name."""
    base = image.base(release)
    lan = Namespaces(names)
    machines: dict[str, Machine] = {}
    disks, shelves = disks or {}, shelves or {}
    try:
        for name in names:
            disk = disks.get(name, base)
            machines[name] = Machine(name, disk, folder, lan.space(name), shelf=shelves.get(name))
            machines[name].boot()
        yield Plant(machines, lan)
    finally:
        for machine in machines.values():
            machine.close()
        lan.close()


def prepared(package: Path) -> dict[str, Path]:
    """The disks of a hub and of an edge that has joined it, by name, for `plant`; made once for each package."""
    digest = hashlib.sha256(package.read_bytes()).hexdigest()[:16]
    names = ("hub", "edge")
    with image.making("prepared") as folder:
        home = folder / "prepared" / digest
        if not home.exists():
            shutil.rmtree(home.parent, ignore_errors=True)
            scratch = home.parent / "making"
            scratch.mkdir(parents=True)
            with plant(scratch, *names) as made:
                make_hub(made["hub"], package)
                make_edge(made["edge"], package, made["hub"])
                connected(made["edge"])
                for machine in made.machines.values():
                    machine.off()
            scratch.rename(home)
    return {name: home / f"{name}.ext4" for name in names}


def unpack(machine: Machine, package: Path) -> None:
    """Install the package, as an administrator does with a file."""
    machine.take(package, f"/var/cache/{package.name}")
    machine.must("apt-get", "install", "--yes", f"/var/cache/{package.name}", within=INSTALL_WITHIN_S)


def make_hub(machine: Machine, package: Path) -> None:
    """Make the mesh's hub of it."""
    unpack(machine, package)
    machine.must("kos-edge", "install", "--role", "hub", within=INSTALL_WITHIN_S)


def make_edge(machine: Machine, package: Path, hub: Machine) -> None:
    """Make it an edge of the hub's mesh."""
    unpack(machine, package)
    machine.must("kos-edge", "install", "--role", "edge", "--join", invitation(hub), within=INSTALL_WITHIN_S)


def invitation(hub: Machine) -> str:
    """A token for one newcomer."""
    return str(hub.ask("invite")["token"])


def connected(machine: Machine) -> dict[str, Any]:
    """Wait until it has a session with a peer."""
    return machine.until_status(lambda status: status["peers_connected"] > 0, "it does not connect")


def drained(machine: Machine) -> dict[str, Any]:
    """Wait until it owes nothing."""
    return machine.until_status(lambda status: not status["queue"]["messages"], "its queue does not drain")


def seconds_to_ready(machine: Machine) -> float:
    """How long the unit's last start took, by systemd's own clock."""
    shown = machine.must(
        "systemctl",
        "show",
        "kos-edge",
        "-p",
        "InactiveExitTimestampMonotonic",
        "-p",
        "ActiveEnterTimestampMonotonic",
    )
    times = dict(line.split("=") for line in shown.splitlines())
    return (int(times["ActiveEnterTimestampMonotonic"]) - int(times["InactiveExitTimestampMonotonic"])) / 1e6


def exposure(machine: Machine) -> float:
    """How exposed its systemd calls the unit, from 0 to 10."""
    said = machine.must("systemd-analyze", "security", "kos-edge.service", "--no-pager")
    found = re.search(r"exposure level for kos-edge.service: ([0-9.]+)", said)
    assert found, said
    return float(found[1])


@dataclass(frozen=True)
class Ledger:
    """What was acknowledged at the source, against what the hub has."""

    accepted: int
    lost: int
    twice: int


def ledger(ids: Iterable[str], hub: Machine) -> Ledger:
    """Compare the ids that publishers were told, kept outside of every machine, with the hub's journal."""
    ids = list(ids)
    process = subprocess.run(
        hub.line("export", "--format", "jsonl"), capture_output=True, text=True, check=True, timeout=120
    )
    there = Counter(json.loads(line)["id"] for line in process.stdout.splitlines())
    lost = sum(id not in there for id in ids)
    return Ledger(len(ids), lost, sum(there[id] - 1 for id in ids if there[id] > 1))


def version(machine: Machine) -> str:
    """What is installed, by its own word."""
    return machine.must("kos-edge", "--version").split()[-1]


def running(machine: Machine) -> str:
    """What the daemon is."""
    return str((machine.status() or {})["version"])


def upgrade(machine: Machine, package: Path) -> subprocess.CompletedProcess[str]:
    """Install another version over it; what apt said."""
    place = machine.take(package, f"/var/cache/{package.name}")
    command = machine.enter("apt-get", "install", "--yes", "--allow-downgrades", place)
    return subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_WITHIN_S, check=False)


def queue_up(plant: Plant) -> list[str]:
    """Readings that wait, because the hub is away."""
    plant.lan.cut("hub")
    with Publishing(plant["edge"], "air.temperature", every_s=0.001) as load:
        load.wait_for(QUEUED)
    return load.ids


def arrived(plant: Plant, ids: Iterable[str]) -> Ledger:
    """Let the hub be there again, and see what has come of them once the edge owes nothing."""
    plant.lan.heal("hub")
    connected(plant["edge"])
    drained(plant["edge"])
    return ledger(ids, plant["hub"])


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
