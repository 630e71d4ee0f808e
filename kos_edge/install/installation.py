"""`kos-edge install`: from a program to a node that runs as a service, in steps; what fails is taken back.

Each step looks at what is there and does what is missing. So a second run changes nothing, and one after a power cut
does the rest.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from kos_edge.clock import Clock
from kos_edge.errors import KosError, Misuse, Refused, Unavailable
from kos_edge.install.activation import Activation
from kos_edge.install.building import build, runs_from
from kos_edge.install.changes import Changes
from kos_edge.install.layout import MANIFEST, Layout
from kos_edge.install.machine import Machine
from kos_edge.install.shelf import Shelf
from kos_edge.install.surroundings import mode_of
from kos_edge.install.system import System
from kos_edge.install.systemd import UNIT
from kos_edge.klp.identity import KeyPair
from kos_edge.mesh.token import Token
from kos_edge.node.addresses import parse_listen
from kos_edge.node.config import Config
from kos_edge.node.config_sources import load_config
from kos_edge.node.installed import examine, seal
from kos_edge.node.keyfile import find_key
from kos_edge.node.vaulting import CREDENTIAL, KEY_NAME, VAULT_NAME

SETTLE_S = 3.0
"""For which a newly started daemon has to stay up; an upgrade waits longer, for it has something to lose."""

_STATE_MODE = 0o750


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did: done, unchanged or skipped."""

    name: str
    outcome: str
    said: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person asked for."""

    role: str | None = None
    name: str | None = None
    token: str | None = None


@dataclass(slots=True)
class Installation:
    """One run. `files` are the surroundings by their places; `hear` is told each step when it is over."""

    layout: Layout
    machine: Machine
    system: System
    clock: Clock
    pause: Callable[[float], None]
    files: Mapping[PurePosixPath, bytes]
    hear: Callable[[Step], None] = lambda step: None
    build: Callable[[Layout], str] = build
    steps: list[Step] = field(default_factory=list)
    made: dict[str, Any] = field(default_factory=dict)
    """What `init` and `join` answered."""
    _changes: Changes = field(default_factory=Changes)
    _tree: Path = Path()

    @property
    def changed(self) -> bool:
        return any(step.outcome == "done" for step in self.steps)

    def run(self, wish: Wish) -> None:
        """Install. Raises KosError for what stands in the way; the machine is then as it was, or it says what not."""
        token = self._check(wish)
        try:
            self._do("files", self._files)
            self._do("account", self._account)
            self._do("directories", self._directories)
            self._do("release", self._release)
            self._do("node", lambda: self._node(wish))
            self._do("manifest", self._manifest)
            self._do("activation", self._activation)
            self._do("vault key", self._vault_key)
            self._do("mesh", lambda: self._mesh(token, wish))
            self._do("service", self._service)
        except BaseException as error:
            left = self._changes.undo()
            if self.steps:
                with contextlib.suppress(KosError):
                    self.system.reload()
            if left and isinstance(error, KosError):
                error.message += f"; could not be taken back: {'; '.join(left)}"
            raise

    def _do(self, name: str, work: Callable[[], tuple[str, str]]) -> None:
        began = self.clock.monotonic()
        outcome, said = work()
        step = Step(name, outcome, said, self.clock.monotonic() - began)
        self.steps.append(step)
        self.hear(step)

    # -- before anything is changed

    def _check(self, wish: Wish) -> Token | None:
        token = None if wish.token is None else Token.parse(wish.token)
        self.machine.check()
        if self.system.is_persons():
            raise Refused(
                "somebody logs in here as kos-edge, and the daemon needs that account for itself alone",
                hint="give that person another name: usermod -l NAME kos-edge && groupmod -n NAME kos-edge",
            )
        config = load_config(self.layout.config / "config.toml")
        there = self._initialised()
        if there is None and wish.role is None and token is None:
            raise Refused(
                "there is no node here yet, and nobody said what it will be",
                hint="kos-edge install --role hub, or kos-edge install --join TOKEN",
            )
        if there is not None:
            _same_node(there, wish, token)
        if UNIT not in self.system.running():
            _ports_free(config)
        return token

    def _initialised(self) -> Mapping[str, Any] | None:
        """The status of the node that is here; None where there is none."""
        state = self.layout.state
        if not any((state / name).exists() for name in ("node.key", "node.key.copy")):
            return None
        name = self._shelf.current()
        if name is None:
            return {}
        return dict(self.system.ask(self._shelf.tree(name), ["--state", str(state), "status"]))

    @property
    def _shelf(self) -> Shelf:
        return Shelf(self.layout)

    # -- the steps

    def _files(self) -> tuple[str, str]:
        if self.layout.packaged:
            return "skipped", "the Debian package brought them"
        count = sum(
            self._changes.write(self.layout.root / place, data, mode_of(place))
            for place, data in self.files.items()
        )
        if count == 0:
            return "unchanged", f"{len(self.files)} files"
        self.system.reload()
        return "done", f"{count} files: units, man pages, completions"

    def _account(self) -> tuple[str, str]:
        made = not self.system.has_account()
        if made:
            self.system.make_account()
            self._changes.did("user kos-edge", self.system.remove_account)
        joined = self.system.join_groups()
        of = f", in {', '.join(joined)}" if joined else ""
        return "done" if made or joined else "unchanged", f"user kos-edge{of}"

    def _directories(self) -> tuple[str, str]:
        made = self._changes.directory(self.layout.state, _STATE_MODE)
        made |= self.system.give(
            self.layout.state
        )  # also one of an installation that was cut off, or of root
        made |= self._changes.directory(self.layout.config / "config.d")
        return "done" if made else "unchanged", f"{self.layout.state}, {self.layout.config}"

    def _release(self) -> tuple[str, str]:
        before = set(self._shelf.names())
        self._shelf.sweep()
        if self.layout.packaged:
            name = self._shelf.current()
            if name is None:
                raise Unavailable("the Debian package is half installed", hint="dpkg --configure kos-edge")
        else:
            self._changes.directory(self.layout.releases)
            name = runs_from(self.layout) or self.build(self.layout)
        self._tree = self._shelf.tree(name)
        if name in before:
            return "unchanged", f"{name} in {self._tree}"
        self._changes.did(f"release {name}", lambda: shutil.rmtree(self._tree))
        return "done", f"{name} in {self._tree}"

    def _node(self, wish: Wish) -> tuple[str, str]:
        state = self.layout.state
        if (state / "node.key").exists() or (state / "node.key.copy").exists():
            return "unchanged", f"the node in {state}"
        before = set(os.listdir(state))
        self._changes.did(f"the node in {state}", lambda: _empty(state, before))
        words = ["--state", str(state), "init", "--role", wish.role or "edge"]
        self.made["node"] = made = self.system.ask(
            self._tree, [*words, *(["--name", wish.name] if wish.name else [])]
        )
        return "done", f"{made['name']}, {made['role']}, {made['kid']}"

    def _manifest(self) -> tuple[str, str]:
        """Where the package brought none: sealed with the node's own key."""
        if self.layout.packaged and (self._tree / MANIFEST).exists():
            return "skipped", "the package's"
        key = find_key(self.layout.state / "node.key").value
        if _sound(self._tree, key):
            return "unchanged", "every file is as it was sealed"
        data = seal(self._tree, self._tree.name, key)
        self._changes.write(self._tree / MANIFEST, data)
        return "done", "sealed with this node's key"

    def _activation(self) -> tuple[str, str]:
        shelf, name = self._shelf, self._tree.name
        before = shelf.current()
        if before == name and shelf.pending() is None:
            return "unchanged", f"{name} is the current release"
        done = Activation(shelf, self.system, self.clock, self.pause).activate(name)
        if before is None:
            self._changes.did("the current release", lambda: shelf.point(self.layout.current, None))
        text = f"{name} is the current release"
        return (
            "done",
            text if not done.restarted else f"{text}, {', '.join(done.restarted)} restarted and healthy",
        )

    def _vault_key(self) -> tuple[str, str]:
        state, sealed = self.layout.state, self.layout.root / "etc/credstore.encrypted" / CREDENTIAL
        if any((state / name).exists() for name in (VAULT_NAME, KEY_NAME)) or sealed.exists():
            return "unchanged", "there is one"
        secret = self.system.seal(CREDENTIAL, secrets.token_bytes(32))
        if secret is None:
            return "skipped", "systemd seals no credentials here; the vault makes itself a key file"
        self._changes.directory(sealed.parent, 0o700)
        self._changes.write(sealed, secret, 0o600)
        drop_in = f"[Service]\nLoadCredentialEncrypted={CREDENTIAL}:/etc/credstore.encrypted/{CREDENTIAL}\n"
        folder = self.layout.root / "etc/systemd/system" / f"{UNIT}.d"
        self._changes.write(folder / "50-vault-key.conf", drop_in.encode())
        self.system.reload()
        return "done", f"sealed for this machine in {sealed}"

    def _mesh(self, token: Token | None, wish: Wish) -> tuple[str, str]:
        if token is None or wish.token is None:
            return "skipped", "no token was given"
        ask = ["--state", str(self.layout.state)]
        status = self.system.ask(self._tree, [*ask, "status"])
        if status["membership"] == "member":
            return "unchanged", f"a member of mesh {token.mesh.hex()[:8]}"
        self.made["join"] = report = self.system.ask(self._tree, [*ask, "join", wish.token])
        match report["outcome"]:
            case "joined":
                return "done", f"joined mesh {token.mesh.hex()[:8]} as {report['name']}"
            case _:
                why = f": {report['reason']}" if report.get("reason") else ""
                return "done", f"no hub could be reached, the daemon goes on looking{why}"

    def _service(self) -> tuple[str, str]:
        if not self.system.enabled(UNIT):
            self.system.enable(UNIT)
            self._changes.did(UNIT, lambda: self.system.disable(UNIT))
        if UNIT in self.system.running():
            return "unchanged", f"{UNIT} runs"
        self._changes.did(f"{UNIT} runs", lambda: self.system.disable(UNIT))
        self.system.restart(UNIT)
        activation = Activation(self._shelf, self.system, self.clock, self.pause, settle_s=SETTLE_S)
        activation.wait(self._tree, UNIT)
        return "done", f"{UNIT} runs and is healthy"


def _same_node(status: Mapping[str, Any], wish: Wish, token: Token | None) -> None:
    """Raises Refused where the node that is here is not the one that is wanted."""
    role, name, mesh = (status.get(key) for key in ("role", "name", "mesh"))
    if wish.role is not None and role is not None and wish.role != role:
        raise Refused(
            f"the node that is here has the role {role}, not {wish.role}",
            hint="leave --role away; for another node: kos-edge uninstall --purge, then install again",
        )
    if wish.name is not None and name is not None and wish.name != name:
        raise Refused(
            f"the node that is here is called {name}, not {wish.name}",
            hint=f"kos-edge rename {name} {wish.name}",
        )
    if token is not None and mesh is not None and mesh != token.mesh.hex():
        raise Refused(
            f"the token is for mesh {token.mesh.hex()[:8]}, and this node belongs to mesh {mesh[:8]}",
            hint="to move it: kos-edge leave, install again, and kos-edge queue retry --all for what waited",
        )


def _ports_free(config: Config) -> None:
    """Raises Unavailable where an address that the configuration names is taken."""
    for text in config.network.listen:
        host, port = parse_listen(text)
        if port == 0:
            continue
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with socket.socket(family, kind) as probe:
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, port))
                except OSError as error:
                    raise Unavailable(
                        f"cannot listen at {text}: {error.strerror}",
                        hint=f"ss -lnptu sport = :{port} shows who does; or change [network] listen",
                    ) from None


def _sound(tree: Path, key: KeyPair) -> bool:
    try:
        return examine(tree, {key.public: "this node"}).sound
    except Misuse:
        raise
    except KosError:
        return False


def _empty(state: Path, keep: set[str]) -> None:
    """Remove what a node that was just made has in its state."""
    for path in _entries(state):
        if path.name not in keep:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _entries(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.iterdir()))
