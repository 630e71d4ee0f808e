"""Where the demonstration plays: real processes, in network namespaces where this user may make them.

A namespace each for the hub and the edges, and one with a bridge between them: nothing of this machine's own network
is touched. Elsewhere they share the loopback interface, and the hub is frozen in place of a cut link.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kos_edge.errors import Unavailable

SUBNET = "10.77.77"  # only inside the namespaces


class Network(Protocol):
    """How nodes reach each other, and how to come between them."""

    describe: str
    cut_says: str

    def prefix(self, node: str) -> list[str]:
        """What to put before a command so that it runs in the place of `node`."""
        ...

    def options(self, node: str) -> list[str]:
        """What `kos-edge run` needs to know there."""
        ...

    def cut(self) -> None:
        """Nobody reaches the hub any more."""
        ...

    def heal(self) -> None:
        """Everybody reaches the hub again."""
        ...

    def wire_bytes(self) -> int | None:
        """Bytes that have gone to and from the hub so far; None where they cannot be counted apart."""
        ...

    def close(self) -> None:
        """Take everything down."""
        ...


class Namespaces:
    """A bridge with a link to each node; cutting sets the hub's link down."""

    describe = "three network namespaces on one bridge, real multicast"
    cut_says = "the hub's link is down"

    def __init__(self, nodes: Sequence[str]) -> None:
        self._tag = f"kos{os.getpid()}"
        self._nodes = list(nodes)
        self._made: list[str] = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        switch = self._add("sw")
        _ip("-n", switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", switch, "link", "set", "br0", "type", "bridge", "mcast_snooping", "0")
        _ip("-n", switch, "link", "set", "br0", "up")
        for number, node in enumerate(self._nodes, start=1):
            space = self._add(node)
            _ip(
                "-n",
                switch,
                "link",
                "add",
                f"p-{node}",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                space,
            )
            _ip("-n", switch, "link", "set", f"p-{node}", "master", "br0", "up")
            _ip("-n", space, "address", "add", f"{SUBNET}.{number}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", space, "link", "set", device, "up")

    def _add(self, name: str) -> str:
        space = self.space(name)
        _ip("netns", "add", space)
        self._made.append(space)
        return space

    def space(self, node: str) -> str:
        """The name of the network namespace of `node`."""
        return f"{self._tag}-{node}"

    def prefix(self, node: str) -> list[str]:
        return ["ip", "netns", "exec", self.space(node)]

    def options(self, node: str) -> list[str]:
        return []

    def cut(self, node: str = "hub") -> None:
        _ip("-n", f"{self._tag}-sw", "link", "set", f"p-{node}", "down")

    def heal(self, node: str = "hub") -> None:
        _ip("-n", f"{self._tag}-sw", "link", "set", f"p-{node}", "up")

    def wire_bytes(self) -> int | None:
        shown = subprocess.run(
            ["ip", "-n", f"{self._tag}-sw", "-s", "-j", "link", "show", "p-hub"],
            capture_output=True,
            check=True,
        )
        (link,) = json.loads(shown.stdout)
        return int(link["stats64"]["rx"]["bytes"]) + int(link["stats64"]["tx"]["bytes"])

    def close(self) -> None:
        for space in reversed(self._made):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)
        self._made.clear()


class Loopback:
    """One interface for all; the hub's process is stopped in place of its link."""

    describe = "the loopback interface (as root it would be network namespaces)"
    cut_says = "the hub is frozen, as if its link were down"

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def prefix(self, node: str) -> list[str]:
        return []

    def options(self, node: str) -> list[str]:
        return ["--listen", "127.0.0.1:0", "--interface", "lo"]

    def cut(self) -> None:
        self._stage.signal("hub", signal.SIGSTOP)

    def heal(self) -> None:
        self._stage.signal("hub", signal.SIGCONT)

    def wire_bytes(self) -> int | None:
        return None

    def close(self) -> None:
        return None


@dataclass
class Stage:
    """The nodes' processes. `folder` holds their states and logs."""

    folder: Path
    nodes: Sequence[str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    network: Network = field(init=False)

    def __post_init__(self) -> None:
        self.network = Namespaces(self.nodes) if may_make_namespaces() else Loopback(self)

    def state(self, node: str) -> Path:
        """The state directory of `node`."""
        return self.folder / node

    def command(self, node: str, *words: str) -> dict[str, object]:
        """Run one command on a node and read its JSON. Raises Unavailable with what it said."""
        line = [*self.network.prefix(node), *_kos_edge(), "--json", "--state", str(self.state(node)), *words]
        done = subprocess.run(line, capture_output=True, check=False, timeout=30)
        if done.returncode:
            raise Unavailable(
                f"kos-edge {words[0]} failed on {node}: {done.stderr.decode(errors='replace').strip()}"
            )
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def start(self, node: str, agent: Path | None, **environment: str) -> None:
        """Start a daemon."""
        line = [*self.network.prefix(node), *_kos_edge(), "--state", str(self.state(node)), "run"]
        line += [*self.network.options(node), *([str(agent)] if agent else [])]
        with (self.folder / f"{node}.log").open("ab") as said:
            self.processes[node] = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env={**os.environ, **environment}
            )

    def signal(self, node: str, number: int) -> None:
        """Send a signal to the daemon of `node`."""
        process = self.processes.get(node)
        if process is not None and process.poll() is None:
            process.send_signal(number)

    def kill(self, node: str) -> None:
        """End a daemon the hard way: SIGKILL."""
        self.signal(node, signal.SIGKILL)
        self.processes.pop(node).wait()

    def stop(self) -> None:
        """End all daemons in order."""
        for node in self.processes:
            self.signal(node, signal.SIGCONT)
            self.signal(node, signal.SIGTERM)
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            if process.poll() is None:
                process.kill()
                process.wait()
        self.processes.clear()

    def close(self) -> None:
        """End what still runs and take the network down."""
        self.stop()
        self.network.close()


def may_make_namespaces() -> bool:
    """Whether this process can make network namespaces with links between them."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    trial = f"kos{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", trial], capture_output=True, check=False).returncode == 0
    if not made:
        return False
    bridge = ["ip", "-n", trial, "link", "add", "br0", "type", "bridge"]
    able = subprocess.run(bridge, capture_output=True, check=False).returncode == 0
    subprocess.run(["ip", "netns", "del", trial], capture_output=True, check=False)
    return able


def _kos_edge() -> list[str]:
    return [sys.executable, "-m", "kos_edge.cli"]


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, check=False)
    if done.returncode:
        raise Unavailable(f"ip {' '.join(words)}: {done.stderr.decode(errors='replace').strip()}")
