"""`kos-edge uninstall`: what an installation brought goes; queue, keys and configuration only when they are purged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kos_edge.errors import Refused
from kos_edge.install.changes import Changes
from kos_edge.install.layout import Layout
from kos_edge.install.machine import Machine
from kos_edge.install.surroundings import PLACES
from kos_edge.install.system import System
from kos_edge.node.vaulting import CREDENTIAL


@dataclass(frozen=True, slots=True)
class Removal:
    """One run; `files` are the places of the surroundings."""

    layout: Layout
    machine: Machine
    system: System
    files: Iterable[PurePosixPath]

    def run(self, *, purge: bool) -> list[str]:
        """Remove; what was removed, in words, nothing where there was nothing.

        Raises Refused where the Debian package has to do it, or without root.
        """
        if not self.machine.root:
            raise Refused("this changes the system and needs root", hint="put sudo before it")
        if self.layout.packaged:
            verb = "purge" if purge else "remove"
            raise Refused(
                "the Debian package brought this, and has to take it away", hint=f"apt {verb} kos-edge"
            )
        changes, root = Changes(), self.layout.root
        gone = []
        units = [PurePosixPath(place).name for place in PLACES.values() if place.endswith(".service")]
        if self.machine.systemd is not None:
            for unit in [*self.system.running(), *(unit for unit in units if "@" not in unit)]:
                self.system.disable(unit)
        places = [root / place for place in self.files]
        if sum(changes.remove(place) for place in places):
            gone.append("units, man pages and completions")
        for place in places:
            _prune(place.parent, root)
        drop_ins = root / "etc/systemd/system/kos-edge.service.d"
        if purge:
            changes.remove(drop_ins)
            changes.remove(root / "etc/credstore.encrypted" / CREDENTIAL)
            with contextlib.suppress(OSError):
                (root / "etc/credstore.encrypted").rmdir()
            for state in self._states():
                if changes.remove(state):
                    gone.append(f"{state}: keys, queue and journal")
            if changes.remove(self.layout.config):
                gone.append(f"{self.layout.config}")
            if self.system.has_account() and not self.system.is_persons():
                self.system.remove_account()
                gone.append("user kos-edge")
        if changes.remove(self.layout.lib):
            gone.append(f"{self.layout.lib}")
        if gone and self.machine.systemd is not None:
            self.system.reload()
        return gone

    def _states(self) -> list[Path]:
        """The state of the daemon, and those of the others on this machine that are ours beyond doubt."""
        found = [self.layout.state]
        for parent in (self.layout.state.parent, self.layout.state.parent / "private"):
            for path in sorted(parent.glob("kos-edge*")):
                ours = any((path / name).exists() for name in ("node.key", "node.key.copy"))
                if ours and path not in found:
                    found.append(path)
        return found


def _prune(folder: Path, root: Path) -> None:
    """Remove folders that are empty now, upwards; the top ones are the system's."""
    while folder != root and len(folder.relative_to(root).parts) > 2:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
