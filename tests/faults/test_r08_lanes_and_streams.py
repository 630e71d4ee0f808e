"""R08 over several lanes at once, over many epochs, and over TCP for a backlog: nothing of it lost or repeated."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from kos_edge.cli.demo.ledger import Ledger
from kos_edge.klp.pack import Position
from kos_edge.node.config import TopicRule
from kos_edge.testing import in_virtual_time
from kos_edge.transport.faults import Faults
from tests.node.world import World, flapping

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

BAD = Faults(loss=0.1, duplicate=0.1, reorder=0.3, corrupt=0.02, delay=0.02, jitter=0.01)
PRIORITIES = ("low", "normal", "high", "critical")
LANES = tuple(TopicRule(f"{name}.#", {"priority": name}) for name in PRIORITIES)


def exact(ledger: Ledger, accepted: int) -> None:
    assert ledger == Ledger(accepted, accepted, 0, 0, 0, 0, 0)


def lanes(ids: list[str]) -> dict[tuple[str, int], list[str]]:
    """The ids by lane, in their order."""
    found: dict[tuple[str, int], list[str]] = {}
    for id in ids:
        stream = Position.parse(id).stream
        found.setdefault((stream.audience, stream.cls.code), []).append(id)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_four_lanes_and_many_starts_at_once(
    seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    @in_virtual_time
    async def story() -> None:
        async with World(tmp_path, seed=seed, faults=BAD) as world:
            hub = await world.hub()
            edge = await world.member(hub, "edge", topics=LANES)
            world.isolate(edge)
            for start in range(7):
                for name in PRIORITIES:
                    await edge.publish(f"{name}.value", *range(start * 40, start * 40 + 40))
                await edge.kill()
                await edge.start()
            world.network.heal()
            for start in range(20):
                for name in PRIORITIES:
                    await edge.publish(f"{name}.value", *range(1000 + start * 5, 1000 + start * 5 + 5))
                await asyncio.sleep(0.05)
            await world.drained(edge)
            assert lanes(await hub.received()) == lanes(edge.acknowledged)
            exact(await world.ledger([edge], hub), 4 * (7 * 40 + 100))

    with caplog.at_level(logging.WARNING, logger="kos_edge"):
        story()
    assert not [record for record in caplog.records if record.exc_info], "a request could not be answered"


@pytest.mark.parametrize("seed", range(3))
def test_a_backlog_moves_to_a_stream_and_back_while_the_link_flaps(seed: int, tmp_path: Path) -> None:
    @in_virtual_time
    async def story() -> None:
        async with World(tmp_path, seed=seed, faults=BAD) as world:
            hub = await world.hub(streams=True)
            edge = await world.member(hub, "edge", streams=True)
            await hub.stop()
            for start in range(0, 2000, 100):
                await edge.publish(
                    "air.spectrum", *(f"{number:06}" * 20 for number in range(start, start + 100))
                )
            await hub.start()
            async with flapping(world, edge, up=1.0, down=0.7):
                await world.until(lambda: edge.node.writer.store.outbox.usage.messages < 1000)
                await hub.kill()
                await hub.start()
                await world.until(lambda: edge.node.writer.store.outbox.usage.messages < 200)
            await edge.publish("air.spectrum", *range(100))
            await world.drained(edge)
            assert await hub.received() == edge.acknowledged
            assert world.network.traffic.stream_bytes > 100_000, "it went over a stream"
            exact(await world.ledger([edge], hub), 2100)

    story()


@pytest.mark.parametrize("seed", range(3))
def test_messages_larger_than_a_datagram_get_through_in_blocks(seed: int, tmp_path: Path) -> None:
    @in_virtual_time
    async def story() -> None:
        async with World(tmp_path, seed=seed, faults=BAD) as world:
            hub = await world.hub()
            edge = await world.member(hub, "edge")
            for size in (900, 1_100, 5_000, 20_000, 60_000):
                await edge.publish("air.picture", "x" * size, size)
            await world.drained(edge, within=300)
            assert await hub.received() == edge.acknowledged
            exact(await world.ledger([edge], hub), 10)

    story()


@in_virtual_time
async def test_one_large_message_is_enough_to_move_to_a_stream(tmp_path: Path) -> None:
    async with World(tmp_path, faults=Faults(delay=0.1)) as world:
        hub = await world.hub(streams=True)
        edge = await world.member(hub, "edge", streams=True)
        await world.settled()
        began = edge.clock.monotonic()
        await edge.publish("air.picture", "x" * 60_000)
        await world.drained(edge)
        assert edge.clock.monotonic() - began < 5
        assert world.network.traffic.stream_bytes > 60_000
        assert await hub.received() == edge.acknowledged
