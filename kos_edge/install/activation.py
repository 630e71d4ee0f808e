"""From one release to another, and back by itself where the new one does not become healthy.

The links tell at every moment what is going on, so that a power cut at any step leaves a machine that starts, and the
same command goes on: `pending` is set to the release to go back to before `current` is switched, and goes when the new
one has proven itself.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kos_edge.clock import Clock
from kos_edge.errors import KosError, Refused, Unavailable
from kos_edge.install.release import START, version_of
from kos_edge.install.shelf import Shelf
from kos_edge.install.systemd import Services, state_of

START_S = 180.0
"""Until a unit has to be ready: a Pi Zero 2 starts in 10 s; a large store that is read anew takes a minute or two."""
SETTLE_S = 10.0
"""For which it has to stay up. What breaks at the first timers, sessions and agents' starts breaks within it."""
LOOK_S = 0.5

_ANSWER_S = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an activation did."""

    release: str
    before: str | None
    changed: bool
    restarted: list[str]
    removed: list[str]


@dataclass(slots=True)
class Activation:
    """The way to another release. `healthy` asks the daemon of a unit; `say` hears each step for people."""

    shelf: Shelf
    services: Services
    clock: Clock
    pause: Callable[[float], None]
    say: Callable[[str], None] = lambda text: None
    examine: Callable[[Path], None] = lambda tree: None
    """Raises Refused where a release's manifest does not hold."""
    healthy: Callable[[Path, str], str | None] = field(default=lambda tree, unit: answers(tree, unit))
    start_s: float = START_S
    settle_s: float = SETTLE_S

    def activate(self, name: str) -> Outcome:
        """Make `name` the running release, and see that every running unit is healthy with it.

        Raises Unavailable where it did not become healthy (what ran before runs again), Refused for a release that is
        not what was signed, Unavailable for one that does not run here; then nothing was changed.
        """
        self.shelf.sweep()
        on_trial, units = self.shelf.pending(), self.services.running()
        before = on_trial or self.shelf.current()
        try:
            self._check(name)
        except KosError as error:
            if (
                on_trial is not None and self.shelf.current() == name
            ):  # a power cut has left it, and spoiled it
                raise self._back(name, on_trial, units, error) from error
            raise
        if self.shelf.current() == name and self.shelf.pending() is None:
            return Outcome(name, before, changed=False, restarted=[], removed=self.shelf.prune())
        if before is not None and before != name:
            self.shelf.point(self.shelf.layout.pending, before)
        self._switch(name)
        try:
            self._try(name, units)
        except KosError as error:
            raise self._back(name, before, units, error) from error
        if before is not None and before != name:
            self.shelf.point(self.shelf.layout.previous, before)
        self.shelf.point(self.shelf.layout.pending, None)
        return Outcome(name, before, changed=True, restarted=units, removed=self.shelf.prune())

    def rollback(self) -> Outcome:
        """Make the release before the current one again. Raises Unavailable where there is none."""
        before = self.shelf.pending() or self.shelf.previous()
        if before is None or before == self.shelf.current():
            raise Unavailable("there is no release to go back to", hint="kos-edge release list")
        return self.activate(before)

    def settle(self) -> Outcome | None:
        """After an interrupted activation: keep the current release where it is healthy, else go back.

        None where nothing was interrupted. Raises as `activate`.
        """
        current = self.shelf.current()
        if self.shelf.pending() is None or current is None:
            return None
        return self.activate(current)

    def _check(self, name: str) -> None:
        tree = self.shelf.tree(name)
        if not tree.is_dir():
            known = ", ".join(self.shelf.names()) or "none"
            raise Unavailable(f"there is no release {name} here", hint=f"those here: {known}")
        self.examine(tree)
        version_of(tree)

    def _switch(self, name: str) -> None:
        self.shelf.point(self.shelf.layout.current, name)
        self.say(f"kos-edge is {name} now")

    def _try(self, name: str, units: list[str]) -> None:
        for unit in units:
            self.services.restart(unit)
        for unit in units:
            self.say(f"waiting until {unit} is healthy")
            self.wait(self.shelf.tree(name), unit)

    def wait(self, tree: Path, unit: str) -> None:
        """Until a unit is ready, stays so for a while with one process, and answers. Raises Unavailable."""
        until = self.clock.monotonic() + self.start_s
        since, pid = None, 0
        while True:
            found = self.services.condition(unit)
            now = self.clock.monotonic()
            if found.broken:
                raise Unavailable(f"{unit} is {found}")
            if not found.up:
                since = None
            elif since is None or found.pid != pid:
                since, pid = now, found.pid
            elif now - since >= self.settle_s:
                complaint = self.healthy(tree, unit)
                if complaint is None:
                    return
                raise Unavailable(f"{unit} is up but not healthy: {complaint}")
            if now >= until:
                raise Unavailable(f"{unit} was not ready within {self.start_s:g} s: it is {found}")
            self.pause(LOOK_S)

    def _back(self, name: str, before: str | None, units: list[str], error: KosError) -> KosError:
        """Make what was before run again; the error that tells of both."""
        if before is None or before == name:
            return Unavailable(
                f"release {name} did not become healthy ({error.message}), and there is none to go back to",
                hint="journalctl -u kos-edge",
            )
        self.say(f"release {name} did not become healthy: {error.message}")
        self._switch(before)
        what = f"release {name} did not become healthy: {error.message}"
        retry = "dpkg --configure kos-edge" if self.shelf.layout.packaged else "kos-edge install"
        again = f"journalctl -u kos-edge says why; to try it once more: {retry}"
        try:
            self._try(before, units)
        except KosError as worse:
            return Refused(f"{what}; {before} is back and is not healthy either: {worse.message}", hint=again)
        finally:
            self.shelf.point(self.shelf.layout.pending, None)
            self.shelf.prune()
        return Unavailable(f"{what}; {before} runs again", hint=again)


def answers(tree: Path, unit: str) -> str | None:
    """Ask the daemon of a unit how it is, with the release in `tree`; what is wrong, None where all is well."""
    command = [
        str(tree / "bin" / "python3"),
        *START,
        "--state",
        f"/var/lib/{state_of(unit)}",
        "status",
        "--json",
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_ANSWER_S, stdin=subprocess.DEVNULL
        )
        report = json.loads(done.stdout or done.stderr)
    except subprocess.TimeoutExpired:
        return f"it did not answer within {_ANSWER_S} s"
    except (OSError, ValueError):
        return "it gave no answer"
    if "error" in report:
        return str(report["error"]["message"])
    if not report.get("running"):
        return "nothing answers on its control socket"
    start = (
        report.get("bootstrap") or {}
    )  # a daemon that came up without its agents is not what was asked for
    return str(start["reason"]) if start.get("reason") else None
