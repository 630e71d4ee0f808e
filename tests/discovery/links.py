"""Machines on a link, as network namespaces on a bridge-less veth pair; and processes in them. Needs root."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 10.0
"""Seconds to wait for what should happen in one: a busy machine is no failure."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Machine:
    """A network namespace."""

    def __init__(self, name: str) -> None:
        self.name = f"kos-{os.getpid()}-{name}"
        ip("netns", "add", self.name)
        self.up("lo")

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *words]

    def python(self, *words: str) -> list[str]:
        return self.command(sys.executable, *words)

    def up(self, interface: str, *addresses: str) -> None:
        for address in addresses:
            ip("-n", self.name, "address", "add", address, "dev", interface)
        ip("-n", self.name, "link", "set", interface, "up")

    def remove(self, interface: str) -> None:
        ip("-n", self.name, "link", "delete", interface)

    def close(self) -> None:
        ip("netns", "delete", self.name)


@contextmanager
def machines(*names: str) -> Iterator[list[Machine]]:
    there: list[Machine] = []
    try:
        for name in names:
            there.append(Machine(name))
        yield there
    finally:
        for machine in there:
            machine.close()


def cable(left: Machine, right: Machine, interface: str = "eth0") -> None:
    """A link between two machines, on an interface of this name at both ends; not up yet."""
    peer = ["type", "veth", "peer", "name", interface, "netns", right.name]
    ip("link", "add", interface, "netns", left.name, *peer)


class Peer:
    """A process that runs discovery in a machine."""

    def __init__(self, machine: Machine, kid: str, *named: str) -> None:
        self.kid = kid
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            machine.python("-m", "tests.discovery.peer", kid, *named),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._events.put(json.loads(line) | {"when": time.monotonic()})

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next event that is wanted; those before it are passed over."""
        seen: list[dict[str, Any]] = []
        end = time.monotonic() + PATIENCE
        while True:
            try:
                event = self._events.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"it did not happen; what did: {seen}") from None
            if wanted(event):
                return event
            seen.append(event)

    def found(self, other: Peer, host: str = "") -> dict[str, Any]:
        """The event that finds another; with `host`, at that address among others."""

        def wanted(event: dict[str, Any]) -> bool:
            if event["event"] != "found" or event["kid"] != other.kid:
                return False
            return not host or host in [address[0] for address in event["addresses"]]

        return self.wait_for(wanted)

    def lost(self, other: Peer) -> dict[str, Any]:
        return self.wait_for(lambda event: event["event"] == "lost" and event["kid"] == other.kid)

    def working(self, interface: str) -> dict[str, Any]:
        return self.wait_for(lambda event: event["event"] == "working" and interface in event["interfaces"])

    def trouble(self) -> dict[str, Any]:
        return self.wait_for(lambda event: event["event"] == "trouble")

    @property
    def resident(self) -> int:
        """Bytes of memory in use."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @property
    def processor(self) -> float:
        """Seconds of processor time used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def goodbye(self) -> None:
        """End it as a daemon is ended."""
        self._process.terminate()
        assert self._process.wait(PATIENCE) == 0

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def peer(machine: Machine, kid: str, *named: str) -> Iterator[Peer]:
    process = Peer(machine, kid, *named)
    try:
        yield process
    finally:
        process.close()


HOLD_5353 = """
import socket, sys
held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
held.bind(("", 5353))
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def port_5353_taken(machine: Machine) -> Iterator[Callable[[], None]]:
    """A process of this machine has port 5353 and does not share it, until the end or until what it gives is called."""
    command = machine.python("-c", HOLD_5353)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdout.readline()
        yield holder.stdin.close
