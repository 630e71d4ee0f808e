"""A daemon that is watched over HTTP, and an agent in it that asks for a secret."""

from __future__ import annotations

import gzip
import http.server
import json
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import ClassVar

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from kos_edge.testing.ports import free_port
from tests.e2e.boxes import boxes

pytestmark = pytest.mark.e2e

AGENT = """
from kos_edge import Agent

agent = Agent("bridge")

@agent.sensor(".length", every="100ms")
def length() -> float:
    return len(agent.secret("mqtt.password"))
"""


TOKEN = "0123456789abcdef"


def fetch(port: int, path: str) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    request.add_header("Authorization", f"Bearer {TOKEN}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def test_figures_and_secrets_of_a_running_daemon(tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "bridge.py"
    file.write_text(AGENT)
    with boxes(tmp_path, "hub") as (hub,):
        hub.init("hub")
        config = hub.state / "config.toml"
        (hub.state / "http.token").write_text(TOKEN)
        (hub.state / "http.token").chmod(0o600)
        watched = f'[monitor]\nlisten = ":{port}"\ntoken-file = "http.token"\n'
        watched += '[secret."mqtt.password"]\nagents = ["bridge"]\n'
        config.write_text(config.read_text() + watched)
        hub.start(str(file))
        assert hub("vault", "put", "mqtt.password", stdin="hunter2\n").code == 0
        hub.until(lambda status: status["journal"]["messages"] > 0, "the agent has its secret")
        assert hub.kept()[0]["body"] == 7
        page = fetch(port, "/metrics")
        assert 'kos_edge_info{name="hub"' in page
        assert 'kos_edge_agent_running{agent="bridge"} 1' in page
        assert fetch(port, "/healthz") == "good\n"
        hub("publish", "door.lock", "true")
        assert [each["body"] for each in json.loads(fetch(port, "/readings?topic=door.%23"))] == [True]
        assert json.loads(fetch(port, "/readings?topic=bridge.*&limit=1"))[0]["body"] == 7
        assert json.loads(fetch(port, "/readings?until=2026-01-01T00:00:00Z")) == []
        for path, status in (("/", "404"), ("/readings?topic=a..b", "400")):
            with pytest.raises(urllib.error.HTTPError, match=status):
                fetch(port, path)
        assert "hunter2" not in hub.log + page
        hub.stop()


def test_a_port_that_is_taken_ends_the_daemon_with_the_setting(tmp_path: Path) -> None:
    port = free_port()
    with boxes(tmp_path, "hub", "other") as (hub, other):
        for box in (hub, other):
            box.init("hub")
            config = box.state / "config.toml"
            config.write_text(config.read_text() + f'[monitor]\nlisten = "127.0.0.1:{port}"\n')
        hub.start()
        done = other("run", "--listen", other.address)
        assert done.code == 69
        assert "[monitor] listen" in done.err
        hub.stop()


def test_a_service_manager_hears_that_the_daemon_is_ready_lives_and_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, boxes(tmp_path, "hub") as (hub,):
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "600000")
        hub.init("hub")
        hub.start()
        ready = manager.recv(4_096).decode()
        assert ready.startswith("READY=1\nSTATUS=hub (hub) at ")
        assert manager.recv(4_096) == b"WATCHDOG=1"
        hub.stop()
        said = [manager.recv(4_096)]
        while said[-1] != b"STOPPING=1":
            said.append(manager.recv(4_096))
        assert set(said) <= {b"WATCHDOG=1", b"STOPPING=1"}


class Collector(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted to it."""

    posted: ClassVar[list[tuple[str, bytes]]] = []

    def do_POST(self) -> None:
        self.posted.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def test_a_daemon_sends_its_spans_to_a_collector(tmp_path: Path) -> None:
    collector = http.server.HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=collector.serve_forever)
    thread.start()
    try:
        with boxes(tmp_path, "hub") as (hub,):
            hub.init("hub")
            config = hub.state / "config.toml"
            endpoint = f"http://127.0.0.1:{collector.server_address[1]}"
            config.write_text(config.read_text() + f'[trace]\nendpoint = "{endpoint}"\n')
            hub.start()
            assert hub("publish", "door.lock", "true").code == 0
            hub.stop()
    finally:
        collector.shutdown()
        thread.join()
        collector.server_close()
    ((path, body),) = Collector.posted
    assert path == "/v1/traces"
    request = ExportTraceServiceRequest.FromString(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert span.name == "publish door.lock"
