"""Traces by OpenTelemetry: a message carries the W3C trace context of its publishing, and each node adds its spans.

    publish air.temperature     at its source, until it is durable there
      receive air.temperature   where it was taken in: durable there too
      handle air.temperature    one for each handler and attempt; what it publishes belongs to the same trace

Imported only where `[trace]` is configured.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kos_edge import __version__
from kos_edge.agents.port import Delivery, Handler
from kos_edge.klp.pack import Message, Pack, Position
from kos_edge.node.sections import TraceSection

WAITING = 1_024
"""Spans that wait for the collector at most; while it is away the rest is dropped, for traces are no messages."""
EXPORT_S = 10.0
CLOSE_S = 3.0
"""For a collector at the end of a daemon; one that is away gets nothing more."""

_W3C = TraceContextTextMapPropagator()


class OpenTelemetry:
    """`kos_edge.node.traces.Tracer` for the node called `node`. `name_of` gives the name of a kid in the mesh."""

    def __init__(
        self,
        settings: TraceSection,
        *,
        node: Callable[[], str],
        name_of: Callable[[bytes], str],
        exporter: SpanExporter | None = None,
    ) -> None:
        self._node = node
        self._name_of = name_of
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "kos-edge", "service.version": __version__}),
            sampler=ParentBased(TraceIdRatioBased(1 / settings.one_in)),
            shutdown_on_exit=False,
        )
        out = exporter or OTLPSpanExporter(endpoint=f"{(settings.endpoint or '').rstrip('/')}/v1/traces")
        self._provider.add_span_processor(
            BatchSpanProcessor(
                out, max_queue_size=WAITING, max_export_batch_size=256, schedule_delay_millis=EXPORT_S * 1000
            )
        )
        self._tracer = self._provider.get_tracer("kos_edge", __version__)

    def publishing(self, topic: str, count: int) -> OpenPublishing | None:
        """The span of publishing; a child of what runs now, such as a handler."""
        span = self._tracer.start_span(
            f"publish {topic}", kind=SpanKind.PRODUCER, attributes=self._about(topic, count=count)
        )
        if not span.is_recording():
            return None
        return OpenPublishing(span)

    def arrived(self, packs: Iterable[Pack]) -> None:
        """A span for each traced message, as long as it takes to say so: when it was taken in is what it tells."""
        for pack in packs:
            for seq, item in pack.messages():
                if isinstance(item, Message) and item.trace is not None:
                    context = parent(item.trace)
                    if context is not None:
                        id, source = str(Position(pack.stream, seq)), self._name_of(pack.stream.source)
                        self._tracer.start_span(
                            f"receive {item.topic}",
                            context,
                            SpanKind.CONSUMER,
                            self._about(item.topic, id=id, source=source),
                        ).end()

    async def handle(self, handler: Handler, name: str, delivery: Delivery) -> None:
        """The handler as a span of the message's trace; what it publishes is a child of it."""
        context = None if delivery.trace is None else parent(delivery.trace)
        if context is None:
            await handler(delivery)
            return
        about = self._about(delivery.topic, id=delivery.id, source=delivery.source_name)
        with self._tracer.start_as_current_span(
            f"handle {delivery.topic}", context, SpanKind.CONSUMER, {**about, "kos.handler": name}
        ):
            await handler(delivery)

    def close(self) -> None:
        """Hand over what waits, for CLOSE_S at most, and end. It blocks."""
        ending = threading.Thread(target=self._provider.shutdown, name="kos-edge: traces", daemon=True)
        ending.start()  # of itself it tries for up to 30 s, and systemd ends the daemon before that
        ending.join(CLOSE_S)

    def _about(
        self, topic: str, *, count: int | None = None, id: str | None = None, source: str | None = None
    ) -> dict[str, str | int]:
        """Attributes by OpenTelemetry's conventions for messaging, and ours."""
        found: dict[str, str | int | None] = {
            "messaging.system": "kos-edge",
            "messaging.destination.name": topic,
            "messaging.batch.message_count": count if count != 1 else None,
            "messaging.message.id": id,
            "kos.node": self._node(),
            "kos.source": source,
        }
        return {name: value for name, value in found.items() if value is not None}


class OpenPublishing:
    """`kos_edge.node.traces.Publishing`."""

    def __init__(self, span: Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, _within(span))
        self.context = carrier["traceparent"]

    def done(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            self._end("cancelled")
        elif (error := future.exception()) is not None:
            self.failed(error)
        else:
            self._span.set_attribute("messaging.message.id", str(future.result()))
            self._span.end()

    def failed(self, error: BaseException) -> None:
        self._end(f"{type(error).__name__}: {error}")

    def _end(self, why: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, why))
        self._span.end()


def parent(trace: str) -> Context | None:
    """The context that a message brought; None for anything else than a traceparent of a trace that is recorded."""
    context = _W3C.extract({"traceparent": trace}, Context())
    found = get_current_span(context).get_span_context()
    return context if found.is_valid and found.trace_flags.sampled else None


def _within(span: Span) -> Context:
    return set_span_in_context(span, Context())
