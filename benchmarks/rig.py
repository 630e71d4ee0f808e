"""A hub's daemon and a device, two real processes with sockets and state of their own on the loopback interface."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import cpu_s, resident_mb, written
from benchmarks.row import Run
from kos_edge.testing.ports import free_port
from tests.e2e.boxes import ROOT, Box, joined


@dataclass(slots=True)
class Rig:
    """A hub that runs, and the state of a device that has joined it; `ask` starts the device for one piece of work."""

    hub: Box
    device: Path

    def ask(self, *work: str) -> dict[str, Any]:
        """Run the device's process through one piece of work (see `device.py`); what it says of it."""
        before, wrote = cpu_s(self.hub.pid), written(self.hub.pid)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.device", str(self.device), *work],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        if done.returncode:
            raise AssertionError(
                f"the device failed:\n{done.stderr[-3000:]}\nthe hub says:\n{self.hub.log[-2000:]}"
            )
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return said | {
            "hub_cpu_s": cpu_s(self.hub.pid) - before,
            "hub_written": written(self.hub.pid) - wrote,
            "hub_mb": resident_mb(self.hub.pid),
        }


@contextlib.contextmanager
def rig(run: Run, config: str = "", *, relay: Callable[[int], int] | None = None) -> Iterator[Rig]:
    """A hub and a device that knows its way; `config` is added to what configures the device.

    `relay` is given the hub's port and gives the one that the device is told.
    """
    hub, device = Box(run.folder / "hub"), Box(run.folder / "device")
    try:
        joined(hub, device)
        own = f"127.0.0.1:{free_port()}"
        peer = f"127.0.0.1:{hub.port if relay is None else relay(hub.port)}"
        network = f'[network]\nmdns = false\nlisten = ["{own}"]\npeers = ["{peer}"]\n'
        (device.state / "config.toml").write_text(network + config)
        yield Rig(hub, device.state)
    finally:
        hub.close()
