"""A device's daemon at rest, started by the line of its unit: memory, processor, start, and what it writes to its disk.

It is a member with a hub that it is connected to: heartbeats, the session's probes and mDNS are in the figures.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import cpu_s, resident_mb, stored
from benchmarks.row import Run
from kos_edge.testing.ports import free_port
from tests.e2e.boxes import PATIENCE_S, ROOT, Box, joined

SETTLE_S = 15.0
"""After a start: the session, the first heartbeat, and the pages that a fresh database grows by."""

_AGENT = """\
from kos_edge import Agent

agent = Agent("air")


@agent.sensor(".air", every="1s")
def air() -> dict[str, float]:
    return {"temp": 21.5, "humidity": 40.25}
"""

_IMPORT = """\
import time
began = time.perf_counter()
import kos_edge.cli.service, kos_edge.node.daemon
print(time.perf_counter() - began)
"""
_SECTOR = 512
_IMAGE_BYTES = 96 << 20


def rest(run: Run) -> float:
    """Megabytes after ten minutes at rest. Note: per cent of one processor meanwhile."""
    with _device(run.folder) as (device, _):
        time.sleep(SETTLE_S)
        before, began = cpu_s(device.pid), time.monotonic()
        time.sleep(run.size(600, 60))
        run.notes["cpu_percent"] = (cpu_s(device.pid) - before) / (time.monotonic() - began) * 100
        return resident_mb(device.pid)


def start(run: Run) -> float:
    """Seconds from the start of the process until it tells its service manager that it is ready. Note: its imports."""
    with _device(run.folder) as (_, first):
        taken = [first]
    for _ in range(4):
        with _process(run.folder, run.folder / "disk" / "device") as (_, seconds):
            taken.append(seconds)
    imports = [float(_python("-c", _IMPORT)) for _ in range(7)]
    run.notes["import_ms"] = statistics.median(imports) * 1_000
    return statistics.median(taken)


def written(run: Run) -> float:
    """Bytes that the kernel counts for its disk for each message, one a second. Note: what came to the device, metadata
    and journal of ext4 included, where a loop device can be had."""
    return _written(run, "")


def written_lingering(run: Run) -> float:
    """The same, where messages may wait for each other ten seconds."""
    return _written(run, '[topic."#"]\nlinger = "10s"\n')


def _written(run: Run, config: str) -> float:
    with _disk(run.folder) as disk, _device(run.folder, config, agent=True) as (device, _):
        time.sleep(SETTLE_S)
        messages = run.size(300, 30)
        os.sync()
        before, sectors = stored(device.pid), _sectors(disk)
        time.sleep(messages)
        after = stored(device.pid)
        os.sync()
        if disk is not None:
            run.notes["device_bytes"] = (_sectors(disk) - sectors) * _SECTOR / messages
        return (after - before) / messages


@contextlib.contextmanager
def _device(
    folder: Path, config: str = "", *, agent: bool = False
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """The daemon of a device with a hub, and the seconds of its start."""
    hub, device = Box(folder / "hub"), Box(folder / "disk" / "device")
    device.state.parent.mkdir(exist_ok=True)
    try:
        joined(hub, device)
        network = f'listen = ["127.0.0.1:{device.port}"]\npeers = ["{hub.address}"]\ninterfaces = ["lo"]\n'
        agents = 'agents = ["air.py"]\n' if agent else ""
        (device.state / "air.py").write_text(_AGENT)
        (device.state / "config.toml").write_text(f"[node]\n{agents}[network]\n{network}{config}")
        with _process(folder, device.state) as started:
            device.until_connected()
            yield started
    finally:
        hub.close()


@contextlib.contextmanager
def _process(folder: Path, state: Path) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """`kos-edge run --state DIR`, as the unit has it and with bytecode, and the seconds until it was ready."""
    _python("-c", _IMPORT)
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    place = folder / f"notify-{free_port()}"
    ear.bind(str(place))
    ear.settimeout(PATIENCE_S)
    words = [sys.executable, "-s", "-P", "-m", "kos_edge.cli", "run", "--state", str(state)]
    with (folder / "daemon.log").open("ab") as log, ear:
        began = time.monotonic()
        daemon = subprocess.Popen(
            words, cwd=ROOT, env=_environment() | {"NOTIFY_SOCKET": str(place)}, stdout=log, stderr=log
        )
        try:
            while not ear.recv(4_096).startswith(b"READY=1"):
                pass
            yield daemon, time.monotonic() - began
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(PATIENCE_S)


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[str | None]:
    """An ext4 of its own at `folder`/disk, and the name of its loop device; None where that is not allowed."""
    place, image = folder / "disk", folder / "image"
    place.mkdir()
    device = None
    with image.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    try:
        if os.geteuid() == 0 and shutil.which("mkfs.ext4") and shutil.which("losetup"):
            with contextlib.suppress(subprocess.CalledProcessError):
                _run("mkfs.ext4", "-q", str(image))
                device = _run("losetup", "--find", "--show", str(image)).strip()
                _run("mount", device, str(place))
        yield None if device is None else Path(device).name
    finally:
        if device is not None:
            _run("umount", str(place))
            _run("losetup", "--detach", device)


def _sectors(disk: str | None) -> int:
    """Written so far (Documentation/admin-guide/iostats.rst of the kernel: field 7)."""
    return 0 if disk is None else int(Path(f"/sys/block/{disk}/stat").read_text().split()[6])


def _environment() -> dict[str, str]:
    here = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return here | {"PYTHONPYCACHEPREFIX": str(ROOT / "build" / "bytecode")}


def _python(*words: str) -> str:
    command = [sys.executable, "-s", "-P", *words]
    return subprocess.run(
        command, cwd=ROOT, env=_environment(), check=True, capture_output=True, text=True
    ).stdout


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
