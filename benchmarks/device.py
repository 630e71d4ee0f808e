"""The device's process: a node with one agent that publishes readings, by the interface that every author has.

    python -m benchmarks.device STATE flood COUNT | sustain SECONDS | pace SECONDS | latency TOPIC COUNT | shake COUNT

Each begins with some readings that are not counted, and ends when the hub has receipted the last: one line of JSON
says what was seen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.processes import cpu_s, resident_mb, written
from kos_edge import Agent, Node
from kos_edge.delivery.receipts import Settled
from kos_edge.klp.pack import Stream
from kos_edge.node.addresses import parse_peer
from kos_edge.node.inbound import TRUST_PATH
from kos_edge.transport.address import Address
from kos_edge.transport.coap import POST, Request
from kos_edge.transport.udp import UdpCarrier

FIELDS = {"temp": "Cel", "humidity": "%RH"}
TOPIC = ".air"
BLOCK = 256  # readings handed in together, as many as nats-py has pending
BLOCKS = 16  # blocks that wait to become durable at a time
BURST = 2_560  # readings that are receipted before the next are published, where a rate is sustained
PACE = 200  # readings a second
WARM_UP = 10_000
PATIENCE_S = 120.0

agent = Agent("bench")


def reading(number: int) -> dict[str, float]:
    """Two fields with their units; about 45 bytes as SenML in CBOR."""
    return {"temp": 20 + number % 100 / 8, "humidity": 40 + number % 64 / 4}


class Receipts:
    """What the hub has said that it holds, as soon as the link hears it: the outbox lets go of it a little later."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._held: dict[Stream, int] = {}
        self._news = asyncio.Event()
        self._take = node.settling.take
        node.settling.take = self._heard  # type: ignore[method-assign]

    def _heard(self, settled: Iterable[Settled]) -> None:
        items = list(settled)
        for item in items:
            self._held[item.stream] = max(item.held, self._held.get(item.stream, 0))
        self._news.set()
        self._take(items)

    def missing(self) -> int:
        """Readings that are accepted here and not receipted there."""
        own = [
            row for row in list(self._node.writer.store.streams) if row.stream.source == self._node.trust.kid
        ]
        return sum(row.held - max(row.settled, self._held.get(row.stream, 0)) for row in own)

    async def all_but(self, count: int = 0) -> None:
        """Wait until no more than so many are missing."""
        async with asyncio.timeout(PATIENCE_S):
            while self.missing() > count:
                self._news.clear()
                await self._news.wait()


async def flood(node: Node, count: int) -> dict[str, Any]:
    """Readings a second from the first publish to the last receipt, and the processor time that they took."""
    receipts = Receipts(node)
    await _publish(WARM_UP)
    await receipts.all_but()
    began, cpu = time.perf_counter(), cpu_s(os.getpid())
    await _publish(count)
    accepted = time.perf_counter() - began
    await receipts.all_but()
    return _said(node) | {
        "per_s": count / (time.perf_counter() - began),
        "accepted_per_s": count / accepted,
        "cpu_us": (cpu_s(os.getpid()) - cpu) / count * 1e6,
    }


async def sustain(node: Node, seconds: float) -> dict[str, Any]:
    """Readings a second while as many are published as are receipted, for so long."""
    receipts = Receipts(node)
    await _publish(WARM_UP)
    await receipts.all_but()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        await _publish(BURST)
        await receipts.all_but(BURST)
        count += BURST
    await receipts.all_but()
    return _said(node) | {"per_s": count / (time.perf_counter() - began), "count": count}


async def pace(node: Node, seconds: float) -> dict[str, Any]:
    """200 readings a second by `publish`, one by one, as sensors do; and the bytes that this process has written."""
    receipts = Receipts(node)
    await _publish(BLOCK)
    await receipts.all_but()
    began, before, count = time.perf_counter(), written(os.getpid()), 0
    async with asyncio.TaskGroup() as group:
        while time.perf_counter() - began < seconds:
            await asyncio.sleep(max(0.0, began + count / PACE - time.perf_counter()))
            group.create_task(_one(TOPIC, count))
            count += 1
    await receipts.all_but()
    return _said(node) | {"count": count, "written": (written(os.getpid()) - before) / count}


async def latency(node: Node, topic: str, count: int) -> dict[str, Any]:
    """Milliseconds from one publish to its receipt, one at a time: on disk here, and on disk there."""
    receipts = Receipts(node)
    await _publish(BLOCK)
    await receipts.all_but()
    took = []
    for number in range(count):
        began = time.perf_counter()
        await _one(topic, number)
        await receipts.all_but()
        took.append((time.perf_counter() - began) * 1e3)
        await asyncio.sleep(0.01)
    return {"p50": statistics.median(took), "p95": statistics.quantiles(took, n=20)[-1]}


async def shake(state: Path, count: int) -> dict[str, Any]:
    """Handshakes a second with the hub, one after the other, each with a first request that it answers."""
    node = Node(state, quiet=True)
    with node.state.lock():
        async with node.opened():
            await node.endpoint.start()
            address = Address("udp", *parse_peer(node.config.network.peers[0]))
            began = time.perf_counter()
            for _ in range(count):
                reached = await node.handshakes.reach(address)
                request = Request(POST, TRUST_PATH, node.trust.news_request())
                await reached.session.request(request, handshake=reached.message_3)
                reached.session.close("measured")
            return {"per_s": count / (time.perf_counter() - began)}


def _said(node: Node) -> dict[str, Any]:
    links = node.peers.links.values()
    counters = [link.courier.counters for link in links]
    return {
        "carriers": sorted({link.carrier for link in links}),
        "packs": sum(each.packs for each in counters),
        "again": sum(each.again for each in counters),
        "memory_mb": resident_mb(os.getpid()),
    }


async def _one(topic: str, number: int) -> None:
    await agent.publish(topic, reading(number), fields=FIELDS)


async def _publish(count: int) -> None:
    room = asyncio.Semaphore(BLOCKS)
    async with asyncio.TaskGroup() as group:
        for start in range(0, count, BLOCK):
            await room.acquire()
            group.create_task(_block(range(start, min(count, start + BLOCK)), room))


async def _block(numbers: range, room: asyncio.Semaphore) -> None:
    try:
        await agent.publish_all(TOPIC, [reading(number) for number in numbers], fields=FIELDS)
    finally:
        room.release()


async def work(state: Path, words: list[str], *, udp: bool) -> dict[str, Any]:
    """One piece of work by its name."""
    if words[0] == "shake":
        return await shake(state, int(words[1]))
    carriers = [UdpCarrier([("127.0.0.1", 0)])] if udp else None
    async with Node(state, agents=[agent], carriers=carriers) as node:
        match words:
            case ["flood", count]:
                return await flood(node, int(count))
            case ["sustain", seconds]:
                return await sustain(node, float(seconds))
            case ["pace", seconds]:
                return await pace(node, float(seconds))
            case ["latency", topic, count]:
                return await latency(node, topic, int(count))
            case _:
                raise SystemExit(f"no work is called {' '.join(words)}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device")
    parser.add_argument("state", type=Path)
    parser.add_argument("words", nargs="+")
    parser.add_argument("--udp", action="store_true", help="speak over UDP only, whatever is owed")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(work(options.state, options.words, udp=options.udp))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
