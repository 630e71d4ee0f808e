"""Whether this machine is one that kos-edge can be installed on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kos_edge.errors import Refused

OLDEST_SYSTEMD = 252
"""Of Debian 12: the unit's credentials and conditions are as there."""
OLDEST = {"debian": (12,), "raspbian": (12,), "ubuntu": (23, 4)}
"""Releases with Python 3.11 and that systemd; others are judged by these two alone."""
MACHINES = ("x86_64", "aarch64", "armv7l", "armv8l")


@dataclass(frozen=True, slots=True)
class Machine:
    """What matters of a machine. `systemd` is its version, None where it does not run."""

    root: bool
    machine: str
    release: str
    release_version: tuple[int, ...]
    systemd: int | None

    def check(self) -> None:
        """Raises Refused, with the reason and what to do, where it will not do."""
        if self.machine.startswith("armv6"):
            raise Refused(
                "this machine has an ARMv6 processor (Raspberry Pi Zero W, Pi 1), for which there are no packages",
                hint="use a Pi Zero 2 W, a Pi 2 or a later one",
            )
        if self.machine not in MACHINES:
            raise Refused(
                f"kos-edge is not made for {self.machine or 'this processor'}",
                hint=f"it runs on {', '.join(MACHINES[:3])}",
            )
        oldest = OLDEST.get(self.release)
        if oldest is not None and self.release_version and self.release_version < oldest:
            has, needs = (".".join(map(str, each)) for each in (self.release_version, oldest))
            raise Refused(
                f"{self.release} {has} is too old: Python and systemd are",
                hint=f"upgrade to {self.release} {needs} or later",
            )
        if self.systemd is None:
            raise Refused(
                "systemd does not run here, so there is nothing that would start the daemon",
                hint="kos-edge init, then kos-edge run; in containers see docs/install.md",
            )
        if self.systemd < OLDEST_SYSTEMD:
            raise Refused(
                f"systemd {self.systemd} is too old, it takes {OLDEST_SYSTEMD}", hint="upgrade the system"
            )
        if not self.root:
            raise Refused(
                "this changes the system and needs root", hint='sudo "$(command -v kos-edge)" install'
            )


def look(root: Path = Path("/")) -> Machine:
    """This machine; what is in files is read below `root`."""
    try:
        text = (root / "etc/os-release").read_text(errors="replace")
    except OSError:
        text = ""
    words = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))
    numbers = tuple(int(each) for each in re.findall(r"\d+", words.get("VERSION_ID", "")))
    return Machine(
        os.geteuid() == 0,
        platform.machine(),
        words.get("ID", ""),
        numbers,
        _systemd() if (root / "run/systemd/system").is_dir() else None,
    )


def _systemd() -> int | None:
    try:
        said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"systemd (\d+)", said)
    return int(found[1]) if found else None
