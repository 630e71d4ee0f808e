"""A machine to install on: releases of three files, and services that do in virtual time what a test says."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kos_edge.clock import ManualClock
from kos_edge.errors import Refused
from kos_edge.install.activation import Activation
from kos_edge.install.layout import SITE, Layout
from kos_edge.install.shelf import Shelf
from kos_edge.install.systemd import UNIT, Condition
from kos_edge.mesh.token import Token
from kos_edge.node.initialize import initialize

READY_S = 2.0

_PYTHON = """\
#!/bin/sh
case "$*" in
    *cache_tag*) echo none ;;
    *) echo {version} ;;
esac
"""


def make_release(tree: Path, version: str) -> Path:
    """A release that runs: its program says its version."""
    (tree / SITE / "kos_edge" / "__pycache__").mkdir(parents=True)
    (tree / SITE / "kos_edge" / "__init__.py").write_text(f"__version__ = {version!r}\n")
    (tree / SITE / "kos_edge" / "__pycache__" / "__init__.none.pyc").write_bytes(b"")
    (tree / "bin").mkdir()
    (tree / "bin" / "python3").write_text(_PYTHON.format(version=version))
    (tree / "bin" / "python3").chmod(0o755)
    (tree / "lib" / "python3.11").symlink_to("python3")
    return tree


@dataclass
class Units:
    """One unit that is up `READY_S` after it was started, with the release that `current` names then."""

    layout: Layout
    clock: ManualClock
    units: list[str] = field(default_factory=lambda: [UNIT])
    breaks: Callable[[str, float], bool] = lambda release, up_s: False
    """Whether a unit with this release has died, so long after it was started."""
    ran: list[str] = field(default_factory=list)
    _since: float = 0.0

    def running(self) -> list[str]:
        return list(self.units)

    def restart(self, unit: str) -> None:
        self.ran.append(Path(os.readlink(self.layout.current)).name)
        self._since = self.clock.monotonic()

    def condition(self, unit: str) -> Condition:
        up = self.clock.monotonic() - self._since
        if self.breaks(self.ran[-1], up):
            return Condition("activating", "auto-restart", "exit-code", 1, 0)
        state = ("active", "running") if up >= READY_S else ("activating", "start")
        return Condition(*state, "success", 0, 40 + len(self.ran))


class Bench:
    """A root with releases 1.0 (current), 2.0 and what a test adds; `died` ends the process at the n-th change."""

    def __init__(self, root: Path, *names: str) -> None:
        self.layout = Layout(root)
        self.shelf = Shelf(self.layout)
        self.clock = ManualClock()
        self.units = Units(self.layout, self.clock)
        self.said: list[str] = []
        self.healthy: Callable[[Path, str], str | None] = lambda tree, unit: None
        for name in names:
            make_release(self.layout.releases / name, name)
        if names:
            self.shelf.point(self.layout.current, names[0])

    def activation(self) -> Activation:
        return Activation(
            self.shelf, self.units, self.clock, self.clock.advance, self.said.append, healthy=self.healthy
        )

    def links(self) -> tuple[str | None, str | None, str | None]:
        """Which releases are current, previous and pending."""
        return self.shelf.current(), self.shelf.previous(), self.shelf.pending()


class BenchSystem(Units):
    """The rest of a system, in memory: an account, units that are enabled; `kos-edge` works on the state below."""

    def __init__(self, layout: Layout, clock: ManualClock) -> None:
        super().__init__(layout, clock, units=[])
        self.account = False
        self.persons = False
        self.groups = ["gpio"]
        """Those that its user is not in yet."""
        self.owned: set[Path] = set()
        self.on: set[str] = set()
        self.asked: list[list[str]] = []
        self.fails: str | None = None
        """The verb that raises, as a hub that says no, or a disk that is full, would have it."""
        self.joined: str | None = None
        self.sealed: bytes | None = b"sealed"

    def has_account(self) -> bool:
        return self.account

    def is_persons(self) -> bool:
        return self.persons

    def make_account(self) -> None:
        self._may("account")
        self.account = True

    def join_groups(self) -> list[str]:
        joined, self.groups = self.groups, []
        return joined

    def remove_account(self) -> None:
        self.account = False

    def give(self, path: Path) -> bool:
        """Nobody else is here: it is only written down."""
        if path in self.owned:
            return False
        self.owned.add(path)
        return True

    def ask(self, tree: Path, words: Sequence[str]) -> Any:
        state, verb, *rest = Path(words[1]), words[2], *words[3:]
        self.asked.append(list(words[2:]))
        self._may(verb)
        if verb == "init":
            return initialize(state, rest[1], rest[3] if len(rest) > 2 else "node")
        if verb == "join":
            self.joined = Token.parse(rest[0]).mesh.hex()
            return {"outcome": "joined", "name": "node", "role": "edge", "reason": None}
        mesh = self.joined
        return {"role": "edge", "name": "node", "mesh": mesh, "membership": "member" if mesh else "none"}

    def seal(self, name: str, secret: bytes) -> bytes | None:
        return self.sealed

    def reload(self) -> None:
        self._may("reload")

    def enabled(self, unit: str) -> bool:
        return unit in self.on

    def enable(self, unit: str) -> None:
        self._may("enable")
        self.on.add(unit)

    def disable(self, unit: str) -> None:
        self.on.discard(unit)
        self.units = [each for each in self.units if each != unit]

    def restart(self, unit: str) -> None:
        self._may("restart")
        super().restart(unit)
        self.units = sorted({*self.units, unit})

    def _may(self, verb: str) -> None:
        if self.fails == verb:
            raise Refused(f"{verb} says no", hint="ask it kindly")


def tree_of(root: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a root: mode and content, or where a link leads."""
    found = {}
    for path in sorted(root.rglob("*")):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        if path.is_symlink():
            content = os.readlink(path).encode()
        found[str(path.relative_to(root))] = (path.lstat().st_mode, content)
    return found
