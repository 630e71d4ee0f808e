"""`make demo-system`: two machines from bare Debian to a mesh, through a power cut, an upgrade and a bad upgrade.

Every reading that a publisher was told is accepted is written down outside of the machines, and at the end compared
with what the hub has. Exit 0: both healthy, none lost, none twice.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.publishing import Publishing
from tests.lane_needs import CONTAINERS, IPROUTE, NAMESPACES
from tests.system import image, packages
from tests.system.machine import Machine
from tests.system.plant import (
    INSTALL_WITHIN_S,
    Plant,
    arrived,
    connected,
    drained,
    invitation,
    plant,
    running,
    seconds_to_ready,
    unpack,
    upgrade,
)

TOPIC = "air.temperature"
_began = time.monotonic()


def main() -> int:
    """The demonstration; the exit code."""
    for need in (IPROUTE, CONTAINERS, NAMESPACES):
        if not need.present():
            need.install()
        if not need.present():
            print(f"This needs {need.name}. As root: make demo-system", file=sys.stderr)
            return 69
    if os.geteuid() != 0:
        return subprocess.run(["sudo", "-n", sys.executable, "-m", "tests.system"], check=False).returncode
    say("building the package")
    made = packages.package()
    say("building the same as a later version")
    later = packages.later()
    with tempfile.TemporaryDirectory(prefix="kos-edge-system-") as folder:
        say("building a later version that somebody broke: it starts, and ends after two seconds")
        bad = packages.broken(Path(folder))
        say(f"{made.name}: {made.stat().st_size / 1e6:.1f} MB")
        say("the Debian that both machines start from (a minute, the first time)")
        image.base(image.BOOKWORM)
        with plant(Path(folder), "hub", "edge") as machines:
            say("two machines are up, with nothing of ours on them")
            try:
                return _play(machines, made, later, bad)
            except AssertionError as error:
                print(f"\n{error}\n\nFAILED", file=sys.stderr)
                return 1


def _play(machines: Plant, made: Path, later: Path, bad: Path) -> int:
    hub, edge = machines["hub"], machines["edge"]
    ids: list[str] = []

    _install(hub, made, "--role", "hub")
    token = invitation(hub)
    say("hub: kos-edge invite")
    _install(edge, made, "--role", "edge", "--join", token)
    connected(edge)
    say(f"edge: has found the hub by mDNS and is a member; start to ready {seconds_to_ready(edge):.2f} s")

    with Publishing(edge, TOPIC) as load:
        load.wait_for(500)
        edge.cut()
    ids += load.ids
    say(f"edge: power cut in the middle of publishing, {len(load.ids)} readings accepted so far")
    edge.boot()
    connected(edge)
    drained(edge)
    say("edge: is back, has opened its store, and owes nothing")

    machines.lan.cut("hub")
    with Publishing(edge, TOPIC) as load:
        load.wait_for(500)
    ids += load.ids
    say(f"the hub's cable is pulled; {edge.ask('status')['queue']['messages']} readings wait at the edge")
    began = time.monotonic()
    done = upgrade(edge, later)
    assert done.returncode == 0, done
    say(
        f"edge: upgraded to {running(edge)} in {time.monotonic() - began:.0f} s;"
        f" {edge.ask('status')['queue']['messages']} readings wait"
    )
    with Publishing(edge, TOPIC) as load:
        load.wait_for(100)
        done = upgrade(edge, bad)
        assert done.returncode != 0, done
    ids += load.ids
    told = [line for line in (done.stdout + done.stderr).splitlines() if "runs again" in line]
    assert told, done
    say(f"edge: {told[0].strip()}")
    say(f"edge: runs {running(edge)} again; {edge.ask('status')['queue']['messages']} readings wait")

    machines.lan.heal("hub")
    result = arrived(machines, ids)
    say(f"the cable is back: {result.accepted} accepted, {result.lost} lost, {result.twice} twice")
    healthy = True
    for machine in machines.machines.values():
        found = machine.run("kos-edge", "doctor")
        lines = found.out.strip().splitlines()
        say(f"{machine.name}: kos-edge doctor: {lines[-1]}")
        for line in lines if found.code else []:
            if line.startswith("bad"):
                say(f"    {line}")
        healthy = healthy and found.code == 0
    edge.must("apt-get", "purge", "--yes", "kos-edge", within=INSTALL_WITHIN_S)
    say("edge: purged")
    good = healthy and result.lost == result.twice == 0
    print(f"\n{'healthy' if healthy else 'NOT HEALTHY'}, {result.lost} lost")
    return 0 if good else 1


def _install(machine: Machine, package: Path, *words: str) -> None:
    shown = " ".join("TOKEN" if word.startswith("kos1-") else word for word in words)
    began = time.monotonic()
    unpack(machine, package)
    unpacked = time.monotonic()
    machine.must("kos-edge", "install", *words, within=INSTALL_WITHIN_S)
    say(
        f"{machine.name}: package in {unpacked - began:.0f} s,"
        f" kos-edge install {shown} in {time.monotonic() - unpacked:.0f} s"
    )


def say(words: str) -> None:
    """One line, with the seconds since the beginning."""
    print(f"{time.monotonic() - _began:6.1f} s  {words}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
