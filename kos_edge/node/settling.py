"""Settling: receipts let the outbox go of what is safe elsewhere. Batched, and never urgent.

A crash before it is written only means that the peer is asked again what it holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from kos_edge.delivery.latency import Latency
from kos_edge.delivery.receipts import Settled
from kos_edge.delivery.wire import Reason
from kos_edge.klp.pack import Message, Position, Stream, encode_message, peek
from kos_edge.node.uptime import Uptime
from kos_edge.store.records import Dead
from kos_edge.store.store import Store
from kos_edge.store.writer import Writer

EVERY_S = 0.5  # how often what was settled is written, unless another commit takes it along

log = logging.getLogger(__name__)


class Settling:
    """Takes what couriers hear, updates the outbox, buries what was refused."""

    def __init__(self, writer: Writer, uptime: Uptime) -> None:
        self._writer = writer
        self._uptime = uptime
        self._waiting: list[Settled] = []
        self._wake = asyncio.Event()
        self._left: dict[Stream, int] = {}
        self.latency = Latency()
        self.delivered = 0
        self.refused = 0

    def leaving(self, stream: Stream, last: int) -> None:
        """Numbers up to `last` of a stream of ours are about to leave this node."""
        self._left[stream] = max(last, self._left.get(stream, 0))

    def has_left(self, position: Position) -> bool:
        """Whether the message may have left this node since it started."""
        return self._left.get(position.stream, 0) >= position.seq

    def take(self, settled: Iterable[Settled]) -> None:
        """Hand in what receipts say."""
        self._waiting.extend(settled)
        if self._waiting:
            self._wake.set()

    async def run(self) -> None:
        """Write, for as long as the node runs."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self.flush()
                await asyncio.sleep(EVERY_S)
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write now."""
        settled, self._waiting = self._waiting, []
        if settled:
            await self._writer.run(lambda store: self._settle(store, settled))

    def _settle(self, store: Store, settled: list[Settled]) -> None:
        now_ms = self._uptime.ms()
        for item in settled:
            for refusal in item.refusals:
                self._bury(store, item, refusal.seq, refusal.reason)
            for waiting in store.outbox.settle(item):
                count = waiting.last - waiting.first + 1
                self.delivered += count
                if waiting.uptime_ms is not None:
                    self.latency.add(max(0, now_ms - waiting.uptime_ms) / 1000, count)

    def _bury(self, store: Store, settled: Settled, seq: int, reason: int) -> None:
        pack = store.outbox.pack_of(settled.stream, seq)
        if pack is None:
            return
        message = peek(pack).message(seq)
        if not isinstance(message, Message):
            return
        name = Reason(reason).name.lower() if reason in list(Reason) else str(reason)
        log.warning("%s on %s was refused: %s", Position(settled.stream, seq), message.topic, name)
        at_ms = self._uptime.wall_ms() or 0
        store.records.bury(
            Dead(str(Position(settled.stream, seq)), at_ms, reason, message.topic, encode_message(message, 0))
        )
        self.refused += 1
