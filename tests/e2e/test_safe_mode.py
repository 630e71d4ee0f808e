"""A real process that dies three times, and a daemon that begins again in the same process."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.boxes import ROOT, Box, boxes, joined, until

pytestmark = pytest.mark.e2e

KILLER = """\
import os, signal
os.kill(os.getpid(), signal.SIGKILL)
"""
WELL = """\
from kos_edge import Agent
agent = Agent("climate")
"""


@pytest.fixture(autouse=True)
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """A service manager's ear: who has one is started again when it dies."""
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ear.bind(str(tmp_path / "notify"))
    ear.setblocking(False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    return ear


def heard(ear: socket.socket) -> list[str]:
    said = []
    while True:
        try:
            said.append(ear.recv(4_096).decode().split("\n")[0])
        except BlockingIOError:
            return said


def status_of(box: Box) -> dict[str, Any]:
    return dict(box.ask("bootstrap", "status"))


def test_after_three_crashes_it_comes_up_without_agents_and_brings_the_queue_over(
    tmp_path: Path, manager: socket.socket
) -> None:
    with manager, boxes(tmp_path, "hub", "north") as (hub, north):
        joined(hub, north)
        agent = tmp_path / "climate.py"
        agent.write_text(KILLER)
        assert north("publish", "air.temperature", "21.5").code == 0
        for number in range(1, 4):
            line = north.line("run", "--listen", north.address, "--interface", "lo", str(agent))
            died = subprocess.run(line, cwd=ROOT, capture_output=True, timeout=60, check=False)
            assert died.returncode == -signal.SIGKILL, died
            status = status_of(north)
            assert (status["number"], status["ended"]) == (number, "died in the step agents, without a word")
        north.start(str(agent))
        assert "safe mode: 3 starts in a row failed" in north.log
        north.until_drained()
        found = north.ask("status")
        assert (found["agents"], found["health"]) == ([], "degraded")
        assert north("doctor", "--quiet").code == 1
        north.stop()
        agent.write_text(WELL)
        north.start(str(agent))
        status = status_of(north)
        assert (status["mode"], status["ended"]) == ("default", None)
        assert [each["name"] for each in north.ask("status")["agents"]] == ["climate"]


def test_it_begins_again_in_the_same_process_and_the_manager_hears_of_it(
    tmp_path: Path, manager: socket.socket
) -> None:
    with manager, boxes(tmp_path, "hub", "north") as (hub, north):
        joined(hub, north)
        north.start()
        before = north.pid
        heard(manager)
        ordered = hub("bootstrap", "--node", "north", "--mode", "recovery")
        assert ordered.code == 0, ordered

        def is_back() -> bool:
            done = north("--json", "bootstrap", "status")
            if done.code:
                return False
            found = json.loads(done.out)
            return bool(
                found["ended"] is None
                and found["mode"] == "recovery"
                and found["steps"][-1]["outcome"] == "done"
            )

        until(is_back, "it does not come back")
        assert north.ask("status")["pid"] == before
        assert [word for word in heard(manager) if word in ("RELOADING=1", "READY=1", "STOPPING=1")] == [
            "RELOADING=1",
            "READY=1",
        ]
        assert [each["giver"] for each in status_of(north)["orders"]] == ["hub"]
