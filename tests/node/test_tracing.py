"""One trace from a sensor over two nodes to a handler, by OpenTelemetry's own SDK; and none where none is wanted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from kos_edge import Agent, Reading
from kos_edge.errors import Invalid
from kos_edge.klp.body import Data
from kos_edge.klp.message import Message
from kos_edge.node.config import parse_config
from kos_edge.node.sections import TraceSection
from kos_edge.node.tracing import CLOSE_S, OpenTelemetry, parent
from kos_edge.testing import in_virtual_time
from kos_edge.testing.ports import free_port
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


def traced(machine: Machine, exporter: InMemorySpanExporter, one_in: int = 1) -> OpenTelemetry:
    machine.tracer = made = OpenTelemetry(
        TraceSection(endpoint="http://collector:4318", one_in=one_in),
        node=lambda: machine.name,
        name_of=lambda kid: machine.node.trust.name_of(kid),
        exporter=exporter,
    )
    return made


def kin(span: ReadableSpan) -> tuple[str, str, str]:
    assert span.attributes is not None
    return (span.name, str(span.attributes["kos.node"]), str(span.attributes.get("kos.source", "")))


def is_well(span: ReadableSpan) -> bool:
    """Whether it tells of no failure: a sensor is read before its node has joined, too."""
    return span.status.status_code is not StatusCode.ERROR


@in_virtual_time
async def test_one_trace_leads_from_a_sensor_to_the_handler_at_the_hub_and_on(tmp_path: Path) -> None:
    exporters = [InMemorySpanExporter(), InMemorySpanExporter()]
    air, mirror = Agent("air"), Agent("mirror")

    @air.sensor("air.temperature", every="1h")
    async def temperature() -> float:
        return 21.5

    @mirror.on("air.temperature")
    async def heard(reading: Reading) -> None:
        await mirror.publish("mirror.temperature", float(reading))

    async with World(tmp_path) as world:
        hub, edge = world.machine("hub", "hub"), world.machine("edge")
        tracers = [traced(hub, exporters[0]), traced(edge, exporters[1])]
        await hub.start(mirror)
        await edge.start(air, peers=[hub])
        await world.join(edge, hub)
        await world.sleep("1h")
        await world.until(lambda: len(hub.node.feed._cache) >= 2)
        await world.sleep(5)
    for tracer in tracers:
        tracer.close()
    spans = [span for exporter in exporters for span in exporter.get_finished_spans() if is_well(span)]
    by_name = {span.name: span for span in spans}
    assert [kin(span) for span in sorted(spans, key=lambda span: span.start_time or 0)] == [
        ("publish air.temperature", "edge", ""),
        ("receive air.temperature", "hub", "edge"),
        ("handle air.temperature", "hub", "edge"),
        ("publish mirror.temperature", "hub", ""),
    ]
    root = by_name["publish air.temperature"]
    assert root.parent is None
    assert {span.context.trace_id for span in spans if span.context} == {root.context.trace_id}
    for child, of in (
        ("receive air.temperature", root),
        ("handle air.temperature", root),
        ("publish mirror.temperature", by_name["handle air.temperature"]),
    ):
        assert by_name[child].parent is not None
        assert by_name[child].parent.span_id == of.context.span_id  # type: ignore[union-attr]


@in_virtual_time
async def test_of_so_many_messages_one_is_traced_and_the_others_are_no_longer(tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    async with World(tmp_path) as world:
        hub = world.machine("hub", "hub")
        tracer = traced(hub, exporter, one_in=10)
        await hub.start()
        for number in range(200):
            await hub.publish("a.b", number)
        heard = [heard.message async for heard in hub.node.feed.messages(0, follow=False)]
    tracer.close()
    with_context = sum(message.trace is not None for message in heard)
    assert len(exporter.get_finished_spans()) == with_context
    assert 2 <= with_context <= 60


@in_virtual_time
async def test_what_is_refused_is_a_span_with_the_reason(tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    async with World(tmp_path) as world:
        hub = world.machine("hub", "hub")
        tracer = traced(hub, exporter)
        await hub.start()
        with pytest.raises(Invalid):
            await hub.publish("a.b", "x" * 70_000)
    tracer.close()
    (span,) = exporter.get_finished_spans()
    assert "Invalid" in (span.status.description or "")


@in_virtual_time
async def test_without_a_tracer_no_message_carries_a_context(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        await hub.publish("a.b", 1)
        (heard,) = [heard async for heard in hub.node.feed.messages(0, follow=False)]
        assert heard.message == Message("a.b", Data(1), heard.message.offset_ms)


@pytest.mark.parametrize(
    "trace",
    [
        "",
        "garbage",
        "00-" + "0" * 32 + "-" + "0" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "2" * 16 + "-00",
        "x" * 255,
    ],
)
def test_anything_else_than_a_context_that_is_recorded_makes_no_span(trace: str) -> None:
    assert parent(trace) is None


def test_a_context_that_is_recorded_is_a_parent() -> None:
    assert parent("00-" + "1" * 32 + "-" + "2" * 16 + "-01") is not None


@pytest.mark.parametrize("url", ["collector:4318", "ftp://a", "http://", "http://a:99999", ""])
def test_an_endpoint_is_an_address_of_http(url: str) -> None:
    with pytest.raises(Invalid):
        parse_config(f'[trace]\nendpoint = "{url}"\n'.encode())


def test_a_daemon_that_does_not_trace_imports_nothing_of_it() -> None:
    script = "import sys, kos_edge.node.daemon; print([m for m in sys.modules if 'opentelemetry' in m])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


AWAY = """
from kos_edge.node.sections import TraceSection
from kos_edge.node.tracing import OpenTelemetry
import sys, time
tracer = OpenTelemetry(TraceSection(endpoint=sys.argv[1]), node=lambda: "shed", name_of=lambda kid: "")
for _ in range(300):
    tracer._tracer.start_span("publish a.b").end()
began = time.monotonic()
tracer.close()
print(time.monotonic() - began)
"""


def test_a_collector_that_is_away_does_not_hold_up_the_end() -> None:
    """In a process of its own: the exporter's thread goes on trying in one that lives on."""
    command = [sys.executable, "-c", AWAY, f"http://127.0.0.1:{free_port()}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=CLOSE_S + 10)
    assert float(done.stdout) < CLOSE_S + 1.0
