"""The lanes of `make test`: what each tests, what it needs of the machine, and the table at the end.

`python -m tests.lanes` runs what can run here; `--all` installs what is missing and counts a lane left out,
an empty one and a skipped test as failures. Each lane is a run of pytest in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lane_needs import (
    BROKERS,
    CONTAINERS,
    EMULATORS,
    IPROUTE,
    NAMESPACES,
    OTHER_CBOR2,
    PROMETHEUS,
    STRACE,
    SYSTEMD,
    Need,
)
from tests.lane_table import Outcome, read_report, table

ROOT = Path(__file__).resolve().parent.parent
PLAIN = ("-u", "CI", "-u", "BUILD_NUMBER")
"""Where pytest believes in a build server it prints what differs in full: once 60,000 lines."""
LIMIT = 1_200
"""Seconds after which a lane is ended: several times what the longest one takes on two cores."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One run of pytest over the tests with a marker, or over those with none."""

    name: str
    marker: str | None = None
    needs: tuple[Need, ...] = ()
    paths: tuple[str, ...] = ("tests",)
    workers: int = 0
    before: str | None = None
    """A folder of packages that go before the installed ones."""

    def missing(self) -> str:
        """What this machine lacks for this lane, in words; empty when nothing."""
        return ", ".join(need.name for need in self.needs if not need.present())

    @property
    def command(self) -> str:
        """What a person types to have this lane run, whatever is missing."""
        sudo = "sudo " if any(need.root for need in self.needs) and os.geteuid() != 0 else ""
        return f"{sudo}make test ALL=1 LANES={self.name}"


PURE = ("klp", "mesh", "bootstrap", "delivery", "transport", "store")

LANES = (
    Lane("unit", workers=2),
    Lane(
        "cbor2",
        needs=(OTHER_CBOR2,),
        paths=tuple(f"tests/{name}" for name in PURE),
        workers=2,
        before=str(OTHER_CBOR2.folder),
    ),
    Lane("e2e", marker="e2e", workers=2),
    Lane("netns", marker="netns", needs=(IPROUTE, NAMESPACES)),
    Lane("simulator", marker="simulator", workers=2),
    Lane("faults", marker="faults", needs=(STRACE, NAMESPACES), workers=2),
    Lane("brokers", marker="brokers", needs=(STRACE, NAMESPACES, BROKERS), workers=2),
    Lane("watching", marker="watching", needs=(PROMETHEUS,), workers=2),
    Lane("systemd", marker="systemd", needs=(SYSTEMD,)),
    Lane("system", marker="system", needs=(IPROUTE, NAMESPACES, CONTAINERS, EMULATORS), workers=3),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lanes", description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="install what is missing; leave nothing out")
    parser.add_argument("lanes", nargs="*", metavar="LANE", help=", ".join(lane.name for lane in LANES))
    options = parser.parse_args(arguments)
    unknown = set(options.lanes) - {lane.name for lane in LANES}
    if unknown:
        parser.error(f"no lane is called {', '.join(sorted(unknown))}")
    chosen = [lane for lane in LANES if not options.lanes or lane.name in options.lanes]
    outcomes = [_outcome(lane, install=options.all) for lane in chosen]
    print(table(outcomes, strict=options.all), flush=True)
    return 1 if any(outcome.bad(strict=options.all) for outcome in outcomes) else 0


def _outcome(lane: Lane, *, install: bool) -> Outcome:
    needs = ", ".join(need.name for need in lane.needs) or "nothing"
    if install:
        for need in lane.needs:
            if not need.present():
                need.install()
    if lane.missing():
        return Outcome(lane.name, needs, left_out=lane.command)
    print(f"\n== lane {lane.name}", flush=True)
    with tempfile.TemporaryDirectory(prefix="kos-edge-lane-") as folder:
        report = Path(folder, "report.xml")
        start = time.monotonic()
        code = _run(lane, report)
        return read_report(report, lane.name, needs, code=code, seconds=time.monotonic() - start)


def _run(lane: Lane, report: Path) -> int:
    markers = [other.marker for other in LANES if other.marker]
    selection = lane.marker or " and ".join(f"not {marker}" for marker in markers)
    paths = [path for path in lane.paths if (ROOT / path).is_dir()]
    pytest = [sys.executable, "-m", "pytest", "-q", "-m", selection, f"--junitxml={report}", *paths]
    if lane.workers:
        pytest += ["-n", str(lane.workers)]
    environment = {"PYTHONDONTWRITEBYTECODE": "1"}
    if lane.before:
        environment["PYTHONPATH"] = lane.before
    become = _become_root() if any(need.root for need in lane.needs) else []
    variables = [f"{name}={value}" for name, value in environment.items()]
    process = subprocess.Popen(
        [*become, "env", *PLAIN, *variables, *pytest],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(LIMIT)
    except BaseException as error:
        _end(process, become)
        if isinstance(error, subprocess.TimeoutExpired):
            print(f"lane {lane.name} was ended after {LIMIT} s", flush=True)
            return 1
        raise


def _become_root() -> list[str]:
    return [] if os.geteuid() == 0 else [shutil.which("sudo") or "sudo", "-n"]


def _end(process: subprocess.Popen[bytes], become: list[str]) -> None:
    """End the lane's whole process group, which is its own."""
    subprocess.run([*become, "kill", "-KILL", "--", f"-{process.pid}"], check=False)
    process.wait()


if __name__ == "__main__":
    sys.exit(main())
