"""A Prometheus that scrapes two real daemons through an outage, and every query of the dashboard put to it."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kos_edge.monitor.card import card_under
from kos_edge.monitor.vitals import Machine
from kos_edge.testing.ports import free_port
from tests.e2e.boxes import Box, boxes, joined, until
from tests.monitor.test_dashboard import PANELS

pytestmark = pytest.mark.watching

AGENT = """
from kos_edge import Agent

agent = Agent("air")

@agent.sensor(".temperature", every="50ms")
def temperature() -> float:
    return 21.5

@agent.sensor(".broken", every="1s")
def broken() -> float:
    raise RuntimeError("no such sensor")
"""


FULL_IN = 'kos_edge_queue_full_in_seconds{instance=~".*"}'


class Prometheus:
    """One that scrapes each second."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}?{query}", timeout=10) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def course(self, expr: str, start: float) -> list[Any]:
        """The series of a query since then."""
        end = time.time()
        return list(
            self.ask("/api/v1/query_range", query=expr, start=str(start), end=str(end), step="1")["result"]
        )

    def ready(self) -> bool:
        try:
            self.ask("/api/v1/query", query="1")
        except OSError:
            return False
        return True


@contextmanager
def scraping(folder: Path, targets: list[str]) -> Iterator[Prometheus]:
    folder.mkdir()
    (folder / "prometheus.yml").write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s"},
                "scrape_configs": [{"job_name": "kos-edge", "static_configs": [{"targets": targets}]}],
            }
        )
    )
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        found = Prometheus(port)
        until(found.ready, "prometheus does not answer")
        yield found
    finally:
        process.terminate()
        process.wait(10)


def watched(box: Box, port: int) -> str:
    config = box.state / "config.toml"
    table = f'[monitor]\nlisten = "127.0.0.1:{port}"\nheartbeat = "1s"\ncard-endurance = "20TB"\n'
    config.write_text(config.read_text() + table)
    return f"127.0.0.1:{port}"


def test_every_query_of_the_dashboard_has_an_answer(tmp_path: Path) -> None:
    agent = tmp_path / "air.py"
    agent.write_text(AGENT)
    with boxes(tmp_path, "hub", "edge") as (hub, edge):
        joined(hub, edge)
        hub.stop()
        targets = [watched(box, free_port()) for box in (hub, edge)]
        hub.start()
        edge.start(str(agent), peers=[hub])
        edge.until_connected()
        with scraping(tmp_path / "prometheus", targets) as prometheus:
            start = time.time()
            until(lambda: len(prometheus.course("kos_edge_info", start)) == 2, "not both are scraped")
            until(lambda: set(silent(prometheus, start, tmp_path)) <= {FULL_IN}, "a panel is empty")
            hub.kill()
            until(lambda: not silent(prometheus, start, tmp_path), "an outage does not show in the forecast")
            until(
                lambda: not prometheus.ask("/api/v1/query", query="up == 1")["result"][1:], "a dead hub is up"
            )
            up = prometheus.ask("/api/v1/query", query="up")["result"]
    assert {one["metric"]["instance"]: one["value"][1] for one in up} == {targets[0]: "0", targets[1]: "1"}


def silent(prometheus: Prometheus, start: float, folder: Path) -> list[str]:
    """The queries without an answer; while all is well `FULL_IN` may be among them."""
    queries = [spelt(target["expr"]) for panel in PANELS for target in panel["targets"]]
    return [query for query in queries if not prometheus.course(query, start) and not unknown(query, folder)]


def spelt(expr: str) -> str:
    """A query as Grafana sends it, for all nodes."""
    return expr.replace("$instance", ".*").replace("$__rate_interval", "5s")


def unknown(query: str, folder: Path) -> bool:
    """Whether it asks for what this machine itself does not say."""
    asked = set(re.findall(r"kos_edge_\w+", query))
    if "kos_edge_fleet_temperature_celsius" in asked:
        return Machine(folder).look().temperature_c is None
    return bool(asked & {"kos_edge_card_life_seconds", "kos_edge_card_written_bytes_total"}) and (
        card_under(folder) is None
    )
