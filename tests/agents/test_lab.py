"""The lab that users test their agents in."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from kos_edge import Agent, Reading
from kos_edge.clock import ManualClock
from kos_edge.errors import Invalid, Misuse
from kos_edge.testing import Lab, in_virtual_time


def ticking(name: str = "a") -> Agent:
    agent = Agent(name)

    @agent.sensor(".x", every="1s")
    def x() -> float:
        return 1.0

    return agent


@in_virtual_time
async def test_a_day_passes_in_no_time() -> None:
    begun = time.perf_counter()
    agent = Agent("a")

    @agent.sensor(".x", every="1h")
    def x() -> float:
        return 1.0

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance("1d")
        assert len(node.values("a.x")) == 25
    assert time.perf_counter() - begun < 5


@in_virtual_time
async def test_advancing_bit_by_bit_is_the_same_as_at_once() -> None:
    counts = []
    for steps in (1, 7, 100):
        async with Lab() as lab:
            node = lab.node("n")
            node.run(ticking())
            for _ in range(steps):
                await lab.advance(70 / steps)
            counts.append(len(node.values("a.x")))
    assert counts == [71, 71, 71]


@in_virtual_time
async def test_what_was_published_while_the_link_was_cut_arrives_in_order_when_it_is_mended() -> None:
    async with Lab() as lab:
        hub, edge = lab.node("hub", role="hub"), lab.node("edge")
        lab.cut("edge")
        for number in range(50):
            await edge.publish("x", number)
        await lab.advance("1h")
        assert hub.received["x"] == []
        lab.mend("edge")
        await lab.advance("1s")
        assert [reading.value for reading in hub.received["x"]] == list(range(50))
        assert {reading.source for reading in hub.received["x"]} == {"edge"}


@in_virtual_time
async def test_an_agents_own_clock_stamps_its_readings() -> None:
    clock = ManualClock(wall=5.0)
    agent = Agent("gps", clock=clock)
    seen: list[Reading] = []

    @agent.sensor(".x", every="1s")
    def x() -> float:
        clock.advance(0.25)
        return agent.clock.wall()

    @agent.on(".y")
    async def note(reading: Reading) -> None:
        seen.append(reading)
        await agent.publish(".z", 1)

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance("2s")
        assert [(reading.value, reading.at) for reading in node.published["gps.x"]] == [
            (5.25, 5.25),
            (5.5, 5.5),
            (5.75, 5.75),
        ]
        await node.publish("gps.y", 1)
        await lab.advance("100ms")
        assert [reading.at for reading in node.published["gps.z"]] == [5.75]


@in_virtual_time
async def test_a_block_is_published_in_order_with_a_time_for_each_value() -> None:
    agent = Agent("gps")
    ids: list[str] = []

    @agent.on(".go")
    async def go() -> None:
        ids.extend(await agent.publish_all(".x", [1, 2, 3], at=[10.0, 11.0, 12.0]))
        for bad in ([], [1, None], [1, float("nan")]):
            with pytest.raises(Invalid):
                await agent.publish_all(".x", bad)
        with pytest.raises(Invalid, match="2 values with 1 times"):
            await agent.publish_all(".x", [1, 2], at=[10.0])

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance("1s")
        await node.publish("gps.go", 1)
        await lab.advance("1s")
        found = node.published["gps.x"]
        assert [(reading.value, reading.at, reading.id) for reading in found] == [
            (number, 9.0 + number, id) for number, id in zip((1, 2, 3), ids, strict=True)
        ]


@in_virtual_time
async def test_stepping_the_wall_clock_changes_stamps_and_nothing_else() -> None:
    async with Lab() as lab:
        node = lab.node("n")
        node.run(ticking())
        await lab.advance("2500ms")
        lab.clock.step_wall(-400 * 86_400)
        await lab.advance("2s")
        times = [reading.at or 0 for reading in node.published["a.x"]]
        assert [round(after - before) for before, after in pairwise(times)] == [
            1,
            1,
            1 - 400 * 86_400,
            1,
        ]


async def test_a_lab_outside_of_virtual_time_says_what_to_do() -> None:
    with pytest.raises(Misuse) as misuse:
        async with Lab():
            pass
    assert misuse.value.hint == "decorate the test with @in_virtual_time"


@in_virtual_time
async def test_two_nodes_of_one_name_are_one() -> None:
    async with Lab() as lab:
        assert lab.node("n") is lab.node("n")
