"""R23: half-open handshakes, slow connections, abandoned uploads: what is kept is capped, members notice nothing."""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from kos_edge.bootstrap.responders import MAX_PENDING
from kos_edge.clock import SystemClock
from kos_edge.klp.body import Data
from kos_edge.node.config import Config
from kos_edge.node.inbound import KLP_PATH
from kos_edge.node.initialize import initialize
from kos_edge.node.node import Node
from kos_edge.node.operations import NodeOperations
from kos_edge.node.sections import NetworkSection
from kos_edge.testing.loop import run_virtual
from kos_edge.testing.ports import free_port
from kos_edge.transport import repeats
from kos_edge.transport.address import Address
from kos_edge.transport.blockwise import BLOCK_SIZE, MAX_BODY, block_value
from kos_edge.transport.coap import BLOCK1, CON, NON, POST, REQUEST_TAG, Message, Request
from kos_edge.transport.framing import CSM, encode_frame
from kos_edge.transport.links import MAX_UNAUTHENTICATED
from kos_edge.transport.memory import PORT
from kos_edge.transport.surface import EDHOC_PATH, MAX_HOSTS, MAX_STRANGERS
from kos_edge.transport.wire import decode_datagram, encode_datagram
from tests.e2e.boxes import ROOT
from tests.faults import long_load
from tests.faults.rows import Sweep, row
from tests.faults.strangers import Knocker, Stranger, hello, host, path_options
from tests.node.world import Machine, World
from tests.transport.test_volume import resident

PER_SECOND: Final = 2_000
"""Half-open handshakes a second: far above what a hub on a Pi could ever complete."""

MOST_GROWTH: Final = 40_000_000
"""Bytes: all tables full (64 connections of 2 KiB, 256 handshakes, 1,024 messages), and what the allocator keeps of the
hub, the attackers and the network, which are one process here."""

FLAT: Final = 4_000_000
"""Bytes that the last third of a flood may add: nothing grows with it. The second does, until the heap has its size."""

SLOWER_BY: Final = 0.005
"""Virtual seconds that the 95th percentile of a member's message may rise by."""

SLOWER_BY_REALLY: Final = 0.25
"""Real seconds, where the flood, the hub, the member and the disk share two cores with whatever else runs."""

HELLOS: Final = 50


@row("R23", "150,000 half-open handshakes, slow connections, abandoned uploads", alone=True, minutes=3)
def sweep(run: Sweep) -> None:
    run_virtual(state_is_capped(run, run.folder))
    asyncio.run(members_do_not_notice(run, run.folder))
    long_load.sweep(run)


# In virtual time: what is kept.


async def state_is_capped(run: Sweep, folder: Path) -> None:
    async with World(folder, seed=run.seed) as world:
        hub = await world.hub(streams=True)
        edge, enemy = await world.member(hub, "edge"), await world.member(hub, "enemy")
        quiet, sizes = p95(await delays(hub, edge, 40)), [resident()]
        under_flood: list[float] = []
        for _ in range(3):
            under_flood += await flooded(run, world, hub, edge, enemy)
            world.network._last.clear()  # the network's own memory of who has sent to whom
            await asyncio.sleep(300)
            sizes.append(resident())
        if p95(under_flood) > quiet + SLOWER_BY:
            run.wrong(f"p95 of a member's message {p95(under_flood):.4f} s, {quiet:.4f} s without the flood")
        grown = [size - sizes[0] for size in sizes[1:]]
        if grown[-1] > MOST_GROWTH or grown[-1] - grown[-2] > FLAT:
            run.wrong(
                f"{', '.join(f'{each / 1e6:.1f}' for each in grown)} MB more after each third of the flood"
            )
        left = hub.node.endpoint._links._exchange.remembered[0], len(hub.node.endpoint.connections)
        if left[1]:
            run.wrong(f"connections of strangers are there after five minutes: {left}")
        await world.drained(edge)
        missing = 40 + len(under_flood) - len(await hub.received())
        if missing:
            run.lost(missing, "of the member's messages")


async def flooded(run: Sweep, world: World, hub: Machine, edge: Machine, enemy: Machine) -> list[float]:
    """A third of the flood, of four kinds at a time; what a member's messages took meanwhile."""
    floods = (
        forged(world, hub, run.share(full=50_000, bounded=1_000)),
        abandoned(world, hub, run.share(full=1_000, bounded=40)),
        slow_streams(world, hub, run.share(full=1_000, bounded=70)),
        uploads(hub, enemy, run.share(full=10_000, bounded=150)),
    )
    tasks = [asyncio.create_task(counted(run, flood)) for flood in floods]
    took: list[float] = []
    while not all(task.done() for task in tasks):
        took += await delays(hub, edge, 10)
        caps(run, hub, enemy)
    await asyncio.gather(*tasks)
    return took


async def counted(run: Sweep, flood: AsyncIterator[None]) -> None:
    async for _ in flood:
        run.case()


def caps(run: Sweep, hub: Machine, enemy: Machine) -> None:
    """Every table that others can fill, against its bound."""
    endpoint, node = hub.node.endpoint, hub.node
    links, gate = endpoint._links, endpoint._gate
    seen, answers = links._exchange.remembered
    held = [s.held for s in endpoint.sessions if getattr(s.peer, "kid", None) == enemy.kid]
    for what, value, most in (
        ("handshakes", len(node.handshakes._responders._table), MAX_PENDING),
        ("requests of strangers", len(gate._strangers), MAX_STRANGERS),
        ("connections of strangers", len(endpoint.connections), MAX_UNAUTHENTICATED),
        ("hosts in the limiter", len(gate._limiter._buckets), MAX_HOSTS),
        ("messages remembered", seen, repeats.MAX_SEEN + repeats.MAX_SEEN_OF_STRANGERS),
        ("bytes of answers", answers, repeats.MAX_ANSWERS + repeats.MAX_ANSWERS_OF_STRANGERS),
        ("bytes of uploads", sum(held), MAX_BODY * max(1, len(held))),
        ("sessions of one member", len(held), 2),
    ):
        if value > most:
            run.wrong(f"{what}: {value}, and at most {most}")


async def forged(world: World, hub: Machine, count: int) -> AsyncIterator[None]:
    """First messages from addresses that are somebody else's; every third is confirmable."""
    target = Address("udp", hub.address, PORT)
    payloads, options = [hello(seed) for seed in range(HELLOS)], path_options(EDHOC_PATH)
    for number in range(count):
        kind = NON if number % 3 else CON
        message = Message(
            POST, number.to_bytes(4, "big"), options, payloads[number % HELLOS], kind, number & 0xFFFF
        )
        world.network.carry(Address("udp", host(number), PORT), target, encode_datagram(message))
        if number % 20 == 0:
            await asyncio.sleep(20 / PER_SECOND)
        yield


async def abandoned(world: World, hub: Machine, count: int) -> AsyncIterator[None]:
    """Handshakes from addresses of one's own, which repeat the Echo value and then say no more."""
    target, options = Address("udp", hub.address, PORT), path_options(EDHOC_PATH)
    for number in range(count):
        stranger = await Stranger(world.network, host(0xA00000 + number)).start()
        for attempt in range(2):
            message = Message(POST, b"mine", options, hello(number % HELLOS), NON, attempt)
            stranger.send(target, encode_datagram(message))
            await asyncio.sleep(0.01)
            echo = decode_datagram(stranger.answers[-1]).option(252) if stranger.answers else None
            if echo is None:
                break
            options = (*path_options(EDHOC_PATH), (252, echo))
        await stranger.close()
        yield


async def slow_streams(world: World, hub: Machine, count: int) -> AsyncIterator[None]:
    """Connections from many hosts that say a byte now and then of a message that never ends."""
    target = Address("tcp", hub.address, PORT)
    whole = encode_frame(Message(CSM)) + encode_frame(
        Message(POST, b"t", path_options(EDHOC_PATH), bytes(1_500))
    )
    for number in range(count):
        knocker = await Knocker(world.network, host(0xB00000 + number % 200)).start()
        peer = await knocker.connect(target)
        for at in range(0, 60, 6):
            knocker.write(peer, whole[at : at + 6])
            await asyncio.sleep(0.002)
        yield


async def uploads(hub: Machine, enemy: Machine, count: int) -> AsyncIterator[None]:
    """The first block of one large request after another, by a member."""
    link = enemy.node.peers.links[hub.kid]
    for number in range(count):
        options = ((BLOCK1, block_value(0, True, BLOCK_SIZE)), (REQUEST_TAG, number.to_bytes(4, "big")))
        await link.session.request(Request(POST, KLP_PATH, bytes(BLOCK_SIZE), options=options))
        yield


async def delays(hub: Machine, edge: Machine, count: int) -> list[float]:
    """Seconds from publishing at the edge to the hub's journal, ten messages a second."""
    found = []
    for _ in range(count):
        found.append(await delay(hub.node, edge.node, 0.0005, asyncio.get_running_loop().time))
        await asyncio.sleep(0.1)
    return found


async def delay(hub: Node, edge: Node, step: float, clock: Callable[[], float]) -> float:
    began, before = clock(), hub.inbound.counters["messages"]
    await edge.publisher.enqueue("air.temperature", Data(21.5), linger_s=0.0)
    await until(lambda: hub.inbound.counters["messages"] > before, step)
    return clock() - began


async def until(holds: Callable[[], object], step: float) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(step)


def p95(delays: list[float]) -> float:
    return statistics.quantiles(delays, n=20)[-1] if len(delays) > 1 else delays[0]


# In real time, over sockets: what it costs.


async def members_do_not_notice(run: Sweep, folder: Path) -> None:
    """A hub and a member over UDP, and a process that floods the hub."""
    port = free_port()
    for role in ("hub", "edge"):
        initialize(folder / f"real-{role}", role, f"real-{role}", passphrase="of no importance")
    hub = Node(folder / "real-hub", config=_config(port))
    edge = Node(folder / "real-edge", config=_config(free_port(), f"127.0.0.1:{port}"))
    count = run.share(full=200, bounded=30)
    async with hub, edge:
        token = (await NodeOperations(hub).invite())["token"]
        await NodeOperations(edge).join(token=token)
        await until(lambda: hub.trust.kid in edge.peers.links, 0.01)
        clock = SystemClock().monotonic
        quiet = [await delay(hub, edge, 0.001, clock) for _ in range(count)]
        rate = str(run.share(full=PER_SECOND, bounded=500))
        flood = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.flood", str(port), rate, cwd=ROOT
        )
        try:
            responders = hub.handshakes._responders
            await until(lambda: responders.counters["echo"], 0.01)
            loud = [await delay(hub, edge, 0.001, clock) for _ in range(count)]
        finally:
            flood.kill()
            await flood.wait()
        run.case(2 * count)
    if p95(loud) > p95(quiet) + SLOWER_BY_REALLY:
        run.wrong(f"p95 {p95(loud) * 1e3:.1f} ms under the flood, {p95(quiet) * 1e3:.1f} ms without")


def _config(port: int, *peers: str) -> Config:
    return Config(network=NetworkSection(mdns=False, listen=(f"127.0.0.1:{port}",), peers=peers))
