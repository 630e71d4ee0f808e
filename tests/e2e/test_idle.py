"""A daemon at rest, started as its unit starts it: the memory that it has and the packages that it holds."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kos_edge.monitor.process import figures
from kos_edge.testing.ports import free_port
from tests.cli.test_service import HEAVY, THIRD_PARTY
from tests.e2e.boxes import PATIENCE_S, ROOT, Box, until

pytestmark = pytest.mark.e2e

RESIDENT_BYTES = 50_000_000
THREADS = 3


@pytest.fixture(params=["edge", "hub"])
def resting(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[int, Path]]:
    """The process of a daemon that has nothing to do, and the file of what it has imported."""
    box = Box(tmp_path / "shed", loopback=False)
    box.init(request.param)
    (box.state / "config.toml").write_text(
        f'[network]\nlisten = ["127.0.0.1:{free_port()}"]\ninterfaces = ["lo"]\n'
    )
    said = tmp_path / "said"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(ROOT / "build" / "bytecode")
    # As a release has it, bytecode is there already: compiling takes 2 MB that are not given back.
    compiling = [sys.executable, "-c", "import kos_edge.cli.service, kos_edge.node.daemon"]
    subprocess.run(compiling, cwd=ROOT, env=environment, check=True)
    with said.open("wb") as out:
        daemon = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "kos_edge.cli", "run", "--state", str(box.state)],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=out,
        )
    try:
        until(lambda: " is running at " in said.read_text() or daemon.poll() is not None, "it does not start")
        yield daemon.pid, said
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(PATIENCE_S)


def test_a_daemon_at_rest_keeps_its_budget(resting: tuple[int, Path]) -> None:
    pid, said = resting
    until(lambda: figures(Path(f"/proc/{pid}")).threads == THREADS, "it does not come to rest")
    resident = figures(Path(f"/proc/{pid}")).resident_bytes
    assert resident is not None
    assert resident <= RESIDENT_BYTES
    modules = set(re.findall(r"^import time:.*\| +(\S+)$", said.read_text(), re.MULTILINE))
    assert "zeroconf" in modules
    assert modules & HEAVY == set()
    assert modules & {"aiocoap", "cbor2", "rich", "segno", "filelock", "h11", "serial"} == set()
    assert THIRD_PARTY & modules >= {"cryptography", "ifaddr"}
