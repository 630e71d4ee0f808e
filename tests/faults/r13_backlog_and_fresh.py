"""R13: a long backlog, and the link returns at 64 kB/s: what is fresh arrives within 2 s while the rest drains.

A whole edge and a whole hub over a slow wire in virtual time. Part of the backlog is in order, part of it fresh-first;
meanwhile somebody goes on publishing on a fresh-first topic, and the edge is asked again and again when it will be
done.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from kos_edge.agents.port import Delivery
from kos_edge.klp.pack import Position
from kos_edge.node.config import TopicRule
from kos_edge.testing.loop import run_virtual
from kos_edge.testing.machine import Machine
from kos_edge.testing.world import World
from kos_edge.transport.faults import Faults
from tests.faults.rows import Sweep, row

RATE = 64_000
"""Bytes a second."""
EVERY_S = 0.4
WITHIN_S = 2.0
FORECAST_WITHIN = 0.2
"""Of the time that it really takes; asked when a tenth to nine tenths of the backlog have gone."""
TOPICS = (TopicRule("log.#", {}), TopicRule("air.#", {"order": "fresh-first"}))


@row("R13", "a backlog, and the link returns at 64 kB/s", minutes=3.0)
def sweep(run: Sweep) -> None:
    queued = run.share(full=100_000, bounded=60_000)
    for number, loss in enumerate((0.0, 0.02)[: run.share(full=2, bounded=1)]):
        faults = Faults(delay=0.02, loss=loss, rate=RATE)
        run_virtual(_story(run, queued, faults, run.folder / str(number)))
        run.case(queued)


async def _story(run: Sweep, queued: int, faults: Faults, folder: Path) -> None:
    async with World(folder, seed=run.seed) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge", topics=TOPICS)
        world.isolate(edge)
        for start in range(0, queued, 500):
            topic = "log.line" if start % 1000 else "air.temperature"
            await edge.publish(topic, *(f"{n:036}" for n in range(start, start + 500)))
        world.network.set_faults(hub.address, edge.address, faults)
        arrivals: dict[str, tuple[float, bool]] = {}
        order: list[str] = []
        loop = asyncio.get_running_loop()

        async def hear(delivery: Delivery) -> None:
            if delivery.id in arrivals:
                run.twice(1, f"seed {run.seed}: {delivery.id}")
            arrivals[delivery.id] = loop.time(), delivery.late
            order.append(delivery.id)

        subscriber = asyncio.create_task(hub.node.feed.subscribe("#", hear, name="r13").run())
        await asyncio.sleep(0)
        world.network.heal()
        await world.until(lambda: edge.linked(hub))
        took = await _publish_meanwhile(run, world, edge, arrivals)
        subscriber.cancel()
        took.sort()
        p95 = took[int(len(took) * 0.95)]
        if p95 > WITHIN_S:
            run.wrong(f"seed {run.seed} {faults}: p95 of {len(took)} fresh messages is {p95:.2f} s")
        missing = set(edge.acknowledged) - set(arrivals)
        run.lost(len(missing), f"seed {run.seed}: {min(missing, default='')}")
        _check_order(run, order, {id: late for id, (_, late) in arrivals.items()})


async def _publish_meanwhile(
    run: Sweep, world: World, edge: Machine, arrivals: dict[str, tuple[float, bool]]
) -> list[float]:
    """One fresh message after the other until the backlog is gone; how long each of them took."""
    loop = asyncio.get_running_loop()
    published: dict[str, float] = {}
    forecasts: list[tuple[float, float]] = []
    outbox = edge.node.writer.store.outbox
    whole = outbox.usage.messages
    while outbox.usage.messages > 100:
        began = loop.time()
        (ident,) = await edge.publish("air.now", began)
        published[ident] = began
        drain = (await edge.operations.forecast())["drain"]["seconds"]
        if drain is not None and 0.1 < outbox.usage.messages / whole < 0.9:
            forecasts.append((loop.time(), drain))
        await asyncio.sleep(EVERY_S)
    await world.drained(edge)
    ended = loop.time()
    for asked, drain in forecasts:
        if abs(drain - (ended - asked)) > FORECAST_WITHIN * (ended - asked):
            run.wrong(f"seed {run.seed}: asked {ended - asked:.1f} s before its end it said {drain:.1f} s")
    if not forecasts:
        run.wrong(f"seed {run.seed}: there was no forecast")
    await world.until(lambda: not published.keys() - arrivals.keys())
    return [arrivals[ident][0] - began for ident, began in published.items()]


def _check_order(run: Sweep, order: list[str], late: dict[str, bool]) -> None:
    """In order where that was asked for; else late exactly where something newer of the lane had come before."""
    highest: dict[object, tuple[int, int]] = {}
    for ident in order:
        position = Position.parse(ident)
        lane = (position.stream.audience, position.stream.cls)
        place = (position.stream.epoch, position.seq)
        before = highest.get(lane, (0, 0))
        if not position.stream.cls.fresh and place < before:
            run.wrong(f"seed {run.seed}: {ident} came out of order")
        if late[ident] != (place < before):
            run.wrong(f"seed {run.seed}: {ident} is late: {late[ident]}")
        highest[lane] = max(before, place)
