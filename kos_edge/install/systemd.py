"""Word with systemd about our units, by its own command."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kos_edge.errors import Unavailable

UNIT = "kos-edge.service"
INSTANCES = "kos-edge@*.service"
_PATIENCE_S = 90
"""For an answer of systemctl that does not wait for a unit to start."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How a unit is: systemd's words for it, how often it was started anew, and its process."""

    active: str
    sub: str
    result: str
    restarts: int
    pid: int

    @property
    def up(self) -> bool:
        """It has said that it is ready."""
        return self.active == "active"

    @property
    def broken(self) -> bool:
        """It has failed, or is being started again after it did."""
        return self.active == "failed" or self.sub == "auto-restart" or self.restarts > 0

    def __str__(self) -> str:
        why = f", {self.result}" if self.result not in ("", "success") else ""
        return f"{self.active} ({self.sub}{why})"


class Services(Protocol):
    """What is asked of a service manager. All of it raises Unavailable."""

    def running(self) -> list[str]:
        """Our units that are up or on their way, by name."""
        ...

    def restart(self, unit: str) -> None:
        """Start a unit anew; it does not wait until it is ready."""
        ...

    def condition(self, unit: str) -> Condition: ...


class Systemd:
    """The system's own systemd. Where there is none (a chroot, a container) no unit runs, and nothing is restarted."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.present = root == Path("/") and Path("/run/systemd/system").is_dir()

    def running(self) -> list[str]:
        if not self.present:
            return []
        listed = self.systemctl("list-units", "--all", "--plain", "--no-legend", "--full", UNIT, INSTANCES)
        found = []
        for line in listed.splitlines():
            name, _, active, sub = (*line.split(), "", "", "", "")[:4]
            if active in ("active", "activating", "reloading") or sub == "auto-restart":
                found.append(name)
        return sorted(found)

    def restart(self, unit: str) -> None:
        self.systemctl("reset-failed", unit, check=False)
        self.systemctl("restart", "--no-block", unit)

    def condition(self, unit: str) -> Condition:
        shown = self.systemctl("show", "--property=ActiveState,SubState,Result,NRestarts,MainPID", unit)
        value = dict(line.partition("=")[::2] for line in shown.splitlines())
        return Condition(
            active=value.get("ActiveState", "unknown"),
            sub=value.get("SubState", "unknown"),
            result=value.get("Result", ""),
            restarts=int(value.get("NRestarts") or 0),
            pid=int(value.get("MainPID") or 0),
        )

    def systemctl(self, *words: str, check: bool = True) -> str:
        """What `systemctl` says to these words. Raises Unavailable where it fails and `check` holds."""
        try:
            done = subprocess.run(
                ["systemctl", "--no-pager", "--no-ask-password", *words],
                capture_output=True,
                text=True,
                timeout=_PATIENCE_S,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"cannot talk to systemd: {error}", hint="systemctl status") from None
        if check and done.returncode != 0:
            said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            raise Unavailable(f"systemctl {' '.join(words)}: {said}", hint="systemctl --failed")
        return done.stdout


def state_of(unit: str) -> str:
    """The name of a unit's state directory below /var/lib."""
    instance = unit.removesuffix(".service").partition("@")[2]
    return f"kos-edge-{instance}" if instance else "kos-edge"
