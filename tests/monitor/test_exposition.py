"""The page as Prometheus reads it, judged by its own client library."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kos_edge.delivery.latency import LATENCY_BOUNDS, Latency, coarse
from kos_edge.monitor import process
from kos_edge.monitor.exposition import Family, page
from kos_edge.monitor.figures import families
from kos_edge.monitor.http import Question
from kos_edge.node.monitoring import Monitoring
from kos_edge.node.operations import NodeOperations
from kos_edge.testing import in_virtual_time
from tests.node.world import World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

DOCS = Path(__file__).parents[2] / "docs"


def read(text: bytes) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Values by name and labels."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_labels_and_help_with_any_character_come_through() -> None:
    hostile = 'a"b\\c\nd{}=,é'
    made = page(
        [Family("x", "gauge", "one\nline \\ here").add(1.5, peer=hostile), Family("y", "gauge", "none")]
    )
    assert read(made) == {"x": {(("peer", hostile),): 1.5}}


def test_a_figure_that_is_not_known_is_missing_and_a_zero_is_a_zero() -> None:
    made = page([Family("x", "gauge", "a").add(None), Family("y_total", "counter", "b").add(0)])
    assert read(made) == {"y_total": {(): 0.0}}


def test_a_histogram_counts_up_to_each_bound() -> None:
    latency = Latency()
    for seconds, times in ((0.00005, 2), (0.05, 3), (1e9, 1)):
        latency.add(seconds, times)
    counts, total = coarse(latency.buckets)
    found = read(page([Family("x", "histogram", "a").add_histogram(LATENCY_BOUNDS, counts, total)]))
    buckets = {float(labels[0][1]): value for labels, value in found["x_bucket"].items()}
    assert buckets[LATENCY_BOUNDS[0]] == 2
    assert buckets[math.inf] == found["x_count"][()] == 6
    for bound, seen in buckets.items():
        assert seen == 2 + 3 * (bound >= 0.05) + (bound >= 1e4)


def test_the_kernel_says_what_this_process_uses() -> None:
    now = process.figures()
    assert now.resident_bytes is not None
    assert now.resident_bytes > 1 << 20
    assert now.threads is not None
    assert now.open_files is not None
    nowhere = process.figures(Path("/nowhere"))
    assert (nowhere.resident_bytes, nowhere.open_files, nowhere.written_bytes) == (None, None, None)


def test_memory_that_is_free_goes_back_to_the_system() -> None:
    pieces = [bytes(1_000) for _ in range(40_000)]
    kept = pieces[::400]
    before = process.resident_bytes()
    del pieces
    process.give_back()
    after = process.resident_bytes()
    assert before is not None
    assert after is not None
    assert after < before - 10_000_000
    assert len(kept) == 100


@in_virtual_time
async def test_a_node_shows_what_it_does(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await edge.publish("air.temperature", *range(5))
        await world.until(lambda: edge.node.settling.delivered == 5)
        seen = {machine.name: read(await shown(machine.node)) for machine in (hub, edge)}
        world.isolate(edge)
        await edge.publish("air.temperature", 5)
        await world.sleep("10m")
        away = read(await shown(edge.node))
    at_edge = seen["edge"]
    assert at_edge["kos_edge_messages_accepted_total"] == {(): 5.0}
    assert at_edge["kos_edge_messages_settled_total"] == {(): 5.0}
    assert seen["hub"]["kos_edge_messages_received_total"] == {(): 5.0}
    assert at_edge["kos_edge_receipt_seconds_count"] == {(): 5.0}
    assert at_edge["kos_edge_offline_seconds"] == {(): 0.0}
    assert "kos_edge_offline_seconds" not in seen["hub"]
    assert at_edge["kos_edge_peers_connected"] == {(): 1.0}
    assert away["kos_edge_offline_seconds"][()] > 60
    assert sum(away["kos_edge_queue_messages"].values()) == 1


async def shown(node: object) -> bytes:
    """The page of a node, as `/metrics` has it."""
    return (await Monitoring(node, NodeOperations(node))._metrics(Question({}, {}))).body  # type: ignore[arg-type]


@in_virtual_time
async def test_every_family_is_in_the_document_and_nothing_else(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        node = (await world.hub()).node
        operations = NodeOperations(node)
        status, peers = await operations.status(), await operations.peers()
        made = families(status, peers, Monitoring(node, operations)._extra(), process.figures())
    listed = re.findall(r"^\| `([a-z_]+)` \|", (DOCS / "monitoring.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(family.name for family in made)
