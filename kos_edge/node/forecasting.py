"""Forecasting: watches the outbox every second, and says when it will be full or empty."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from math import inf
from typing import Literal

from kos_edge.clock import Clock
from kos_edge.control.reports import (
    FlowReport,
    ForecastReport,
    LaneFlowReport,
    QueueForecast,
    RateReport,
    SpanReport,
)
from kos_edge.delivery.forecast import EVERY_S, Forecast, Rate, Rates, Span
from kos_edge.delivery.limits import Amount, Limit, WhenFull, queue_of
from kos_edge.errors import KosError
from kos_edge.klp.stream import Priority
from kos_edge.monitor.wear import EVERY_S as CARD_EVERY_S
from kos_edge.node.wearing import Wearing
from kos_edge.store.outbox import Outbox
from kos_edge.store.store import Store
from kos_edge.store.writer import Writer

NO_DAEMON = "not known: rates are measured by a running daemon"


class Forecasting:
    """One node's outlook on its queue."""

    def __init__(self, writer: Writer, clock: Clock, wearing: Wearing) -> None:
        self._writer = writer
        self._clock = clock
        self._wearing = wearing
        self._forecast = Forecast()
        self._running = False

    async def run(self) -> None:
        """Watch, for as long as the node runs."""
        self._running = True
        look_at_card = self._clock.monotonic()
        while True:
            with contextlib.suppress(KosError):  # a disk that fails has louder complaints
                await self._writer.read(self._sample)
            if self._clock.monotonic() >= look_at_card:
                self._wearing.sample()
                look_at_card = self._clock.monotonic() + CARD_EVERY_S
            await asyncio.sleep(EVERY_S)

    def _sample(self, store: Store) -> None:
        self._forecast.sample(self._clock.monotonic(), store.outbox.flows)

    async def report(self) -> ForecastReport:
        """What is known now."""
        return ForecastReport(**await self.of_queue(), card=self._wearing.report())

    async def of_queue(self) -> QueueForecast:
        """The same of the queue alone."""
        return await self._writer.read(lambda store: self._report(store.outbox))

    def _report(self, outbox: Outbox) -> QueueForecast:
        forecast = self._forecast
        full, of, limit = min(self._fills(outbox), key=_soonest)
        return QueueForecast(
            measured_s=forecast.measured_s,
            total=_flow(forecast.total()),
            lanes=[
                LaneFlowReport(
                    audience=audience,
                    priority=cls.priority.name.lower(),
                    durable=cls.durable,
                    order="fresh-first" if cls.fresh else "in-order",
                    **_flow(rates),
                )
                for (audience, cls), rates in forecast.lanes().items()
            ],
            full=self._span(full),
            limit=limit,
            limit_of=of,
            drain=self._span(forecast.drain(outbox.usage.bytes + outbox.tombstones.bytes)),
            at_limit=_at_limit(outbox),
        )

    def _fills(self, outbox: Outbox) -> Iterator[tuple[Span, str, Literal["messages", "bytes"]]]:
        """When each limit is reached, of what, and in which measure."""
        standing = outbox.by_priority
        parts: list[tuple[str, Limit, Amount, Priority | None]] = [
            ("the queue", outbox.limits.whole, sum(standing.values(), Amount()), None)
        ]
        parts += [
            (queue_of(each), limit, standing.get(each, Amount()), each)
            for each, limit in outbox.limits.by_priority.items()
        ]
        for of, limit, amount, priority in parts:
            if limit.bytes is not None:
                room = limit.bytes - amount.bytes
                yield self._forecast.full(room, of="bytes", priority=priority), of, "bytes"
            if limit.messages is not None:
                room = limit.messages - amount.messages
                yield self._forecast.full(room, of="messages", priority=priority), of, "messages"
        yield Span(None, why="there is no limit"), "the queue", "bytes"

    def _span(self, span: Span) -> SpanReport:
        why = span.why if self._running or span.seconds is not None else NO_DAEMON
        return SpanReport(seconds=span.seconds, low=span.low, high=span.high, why=why)


def _soonest(found: tuple[Span, str, str]) -> float:
    seconds = found[0].seconds
    return inf if seconds is None else seconds


def _at_limit(outbox: Outbox) -> str:
    """What happens to what does not fit, and what goes first of what waits now."""
    when_full = outbox.limits.when_full
    if when_full is WhenFull.REJECT:
        return "new messages are refused; nothing that waits is dropped"
    first: dict[tuple[str, Priority], int] = {}
    for (audience, cls), standing in outbox.lanes().items():
        if standing.oldest is not None:
            lane = (audience, cls.priority)
            first[lane] = min(standing.oldest, first.get(lane, standing.oldest))
    if when_full is WhenFull.DROP_OLDEST:
        first = {lane: oldest for lane, oldest in first.items() if lane[1] is not Priority.CRITICAL}
    if not first:
        return "the oldest messages are dropped, with a tombstone each; now nothing waits that may be"
    lowest = min(priority for _, priority in first)
    if when_full is WhenFull.DROP_LOWEST:
        first = {lane: oldest for lane, oldest in first.items() if lane[1] is lowest}
    audience, priority = min(first, key=first.__getitem__)
    return (
        f"the oldest of priority {priority.name.lower()} for {audience} are dropped first, with a tombstone"
    )


def _flow(rates: Rates) -> FlowReport:
    return FlowReport(
        messages_in=_rate(rates.messages_in),
        bytes_in=_rate(rates.bytes_in),
        messages_out=_rate(rates.messages_out),
        bytes_out=_rate(rates.bytes_out),
    )


def _rate(rate: Rate | None) -> RateReport | None:
    return None if rate is None else RateReport(value=rate.value, uncertainty=rate.uncertainty)
