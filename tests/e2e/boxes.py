"""Real `kos-edge` processes, each with a state directory of its own: what the tests from end to end stand on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kos_edge.agents.agent import RESERVED
from kos_edge.control.client import Client
from kos_edge.errors import KosError
from kos_edge.testing.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0
"""Seconds to wait for what should happen in a few: a busy machine is no failure."""

_LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The one JSON value that it answered with."""
        assert self.code == 0, self
        return json.loads(self.out)

    @property
    def ids(self) -> list[str]:
        """The ids of `publish`, a line each."""
        return self.out.split()


def ran(line: Sequence[str], stdin: str, within: float) -> Done:
    """Run a command line to its end."""
    done = subprocess.run(
        line, input=stdin, capture_output=True, text=True, timeout=within, check=False, cwd=ROOT
    )
    return Done(done.returncode, done.stdout, done.stderr)


class Box:
    """A computer with one node on it.

    `prefix` goes before every command, as to run it in a network namespace. On this machine's own network a node
    keeps to the loopback interface, at a port that stays its own, and looks for nobody by mDNS.
    """

    def __init__(self, state: Path, *, prefix: Sequence[str] = (), loopback: bool = True) -> None:
        self.state = state
        self.name = state.name
        self.port = free_port() if loopback else 0
        self._loopback = loopback
        self._prefix = list(prefix)
        self.made: dict[str, Any] = {}
        """What `init` said of it."""
        self._daemon: subprocess.Popen[bytes] | None = None
        self._client = Client(state / "control.sock")
        self._log = state.with_name(f"{state.name}.log")

    # -- commands

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What its daemons have written so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def line(self, *words: str) -> list[str]:
        """The command line of a person at this computer."""
        return [*self._prefix, sys.executable, "-m", "kos_edge.cli", "--state", str(self.state), *words]

    def __call__(self, *words: str, stdin: str = "", within: float = PATIENCE_S) -> Done:
        """Run one command to its end."""
        return ran(self.line(*words), stdin, within)

    def ask(self, *words: str) -> Any:
        """Run one command and read its JSON."""
        return self("--json", *words).value

    def init(self, role: str) -> None:
        """Make its node, with the box's name."""
        self.made = self.ask("init", "--role", role, "--name", self.name)
        if self._loopback:
            (self.state / "config.toml").write_text("[network]\nmdns = false\n")

    def kept(self) -> list[dict[str, Any]]:
        """Every message in its journal, as `tail` shows it; but for what nodes say to each other of themselves."""
        done = self("tail", "--from-start") if self._daemon is None else self("export", "--format", "jsonl")
        assert done.code == 0, done
        lines = [json.loads(line) for line in done.out.splitlines()]
        return [line for line in lines if (line["topic"] or "").split(".")[0] != RESERVED]

    # -- its daemon

    @property
    def runs(self) -> bool:
        """Whether its daemon does."""
        return self._daemon is not None and self._daemon.poll() is None

    @property
    def pid(self) -> int:
        """The process of its daemon."""
        assert self._daemon is not None
        return self._daemon.pid

    def start(self, *words: str, peers: Sequence[Box] = ()) -> None:
        """Start its daemon and wait until it answers."""
        options = ["--listen", self.address, "--interface", "lo"] if self._loopback else []
        options += [word for peer in peers for word in ("--peer", peer.address)]
        with self._log.open("ab") as said:
            self._daemon = subprocess.Popen(
                self.line("run", *options, *words),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=ROOT,
            )
        until(lambda: self.status() is not None or not self.runs, f"{self.name} does not answer")
        assert self.runs, self.log

    def status(self) -> dict[str, Any] | None:
        """How the daemon is; None when nobody answers."""

        async def ask() -> dict[str, Any] | None:
            async with asyncio.timeout(2):
                return dict(await self._client.status())

        with contextlib.suppress(KosError, OSError, TimeoutError):
            return asyncio.run(ask())
        return None

    def until(self, holds: Callable[[dict[str, Any]], object], why: str) -> dict[str, Any]:
        """Wait until the daemon's status is so."""
        last: dict[str, Any] = {}

        def look() -> bool:
            nonlocal last
            last = self.status() or last
            return bool(last and holds(last))

        try:
            until(look, why)
        except AssertionError:
            raise AssertionError(f"{self.name}: {why}; it says {last}\n{self.log[-3000:]}") from None
        return last

    def until_member(self) -> dict[str, Any]:
        return self.until(lambda status: status["membership"] == "member", "it did not become a member")

    def until_connected(self, peers: int = 1) -> dict[str, Any]:
        return self.until(lambda status: status["peers_connected"] >= peers, "it did not connect")

    def until_drained(self) -> dict[str, Any]:
        return self.until(lambda status: not status["queue"]["messages"], "its queue did not drain")

    def signal(self, number: int) -> None:
        """Send its daemon a signal."""
        if self.runs:
            assert self._daemon is not None
            self._daemon.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, now."""
        self.signal(signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """End its daemon in order, and see that it went well."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        code = self._reap()
        assert code in (0, None), f"{self.name} ended with {code}\n{self.log[-3000:]}"

    def close(self) -> None:
        """Let nothing of it run on, whatever has happened."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        self._reap()

    def _reap(self) -> int | None:
        daemon, self._daemon = self._daemon, None
        if daemon is None:
            return None
        try:
            return daemon.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            return daemon.wait()


def until(holds: Callable[[], object], why: str, within: float = PATIENCE_S) -> None:
    """Look again and again until it holds."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, why
        time.sleep(_LOOK_EVERY_S)


@contextlib.contextmanager
def boxes(folder: Path, *names: str) -> Iterator[list[Box]]:
    """Computers on the loopback interface; nothing of them runs on afterwards."""
    made = [Box(folder / name) for name in names]
    try:
        yield made
    finally:
        for box in made:
            box.close()


def joined(hub: Box, *edges: Box) -> None:
    """Make a hub that runs, and edges that have joined it and do not run yet."""
    hub.init("hub")
    hub.start()
    for edge in edges:
        edge.init("edge")
    token = hub.ask("invite", "--uses", str(max(1, len(edges))))["token"]
    for edge in edges:
        assert edge.ask("join", token)["outcome"] == "joined"
