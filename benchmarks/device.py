"""The device's process: a node with one agent that publishes readings, by the interface that every author has.

    python -m benchmarks.device STATE flood COUNT

`flood`: after a beginning that is not counted, COUNT readings as fast as they are accepted, until the hub has
receipted the last. One line of JSON says what was seen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.processes import cpu_s
from kos_edge import Agent, Node

FIELDS = {"temperature": "Cel", "humidity": "%RH"}
TOPIC = ".air"
BLOCK = 256  # readings handed in together, as many as nats-py has pending
BLOCKS = 16  # blocks that wait to become durable at a time
WARM_UP = 10_000
PATIENCE_S = 120.0

agent = Agent("bench")


def reading(number: int) -> dict[str, float]:
    """Two fields with their units; about 45 bytes as SenML in CBOR."""
    return {"temperature": 20 + number % 100 / 8, "humidity": 40 + number % 64 / 4}


async def flood(node: Node, count: int) -> dict[str, Any]:
    """Readings a second from the first publish to the last receipt, and the processor time that they took."""
    await _publish(WARM_UP)
    await _drained(node)
    began, cpu = time.perf_counter(), cpu_s(os.getpid())
    await _publish(count)
    accepted = time.perf_counter() - began
    await _drained(node)
    took = time.perf_counter() - began
    carriers = {link.carrier for link in node.peers.links.values()}
    return {
        "per_s": count / took,
        "accepted_per_s": count / accepted,
        "cpu_us": (cpu_s(os.getpid()) - cpu) / count * 1e6,
        "tcp": carriers == {"tcp"},
        "packs": sum(link.courier.counters.packs for link in node.peers.links.values()),
    }


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


async def _drained(node: Node) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while node.writer.store.outbox.usage.messages:  # noqa: ASYNC110 - nothing tells of an empty outbox
            await asyncio.sleep(0.005)


async def work(state: Path, words: list[str]) -> dict[str, Any]:
    """One piece of work by its name."""
    async with Node(state, agents=[agent]) as node:
        match words:
            case ["flood", count]:
                return await flood(node, int(count))
            case _:
                raise SystemExit(f"no work is called {' '.join(words)}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device")
    parser.add_argument("state", type=Path)
    parser.add_argument("words", nargs="+")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(work(options.state, options.words))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
