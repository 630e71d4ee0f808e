"""Handlers: told of messages at least once, and of thresholds when they are crossed."""

from __future__ import annotations

import pytest

from kos_edge import Agent, Reading
from kos_edge.errors import Invalid
from kos_edge.testing import Lab, in_virtual_time


@in_virtual_time
async def test_a_handler_gets_what_matches_from_here_and_from_other_nodes() -> None:
    agent, seen = Agent("log"), []

    @agent.on("*.air.#")
    async def note(reading: Reading) -> None:
        seen.append((reading.source, reading.topic, reading.value))

    async with Lab() as lab:
        hub, edge = lab.node("hub", role="hub"), lab.node("edge")
        hub.run(agent)
        await lab.advance(0)
        await hub.publish("a.air.temperature", 1)
        await edge.publish("b.air", 2)
        await edge.publish("b.water", 3)
        await lab.advance(1)
    assert seen == [("hub", "a.air.temperature", 1), ("edge", "b.air", 2)]


@in_virtual_time
async def test_a_threshold_tells_crossings_with_the_reading() -> None:
    agent, told = Agent("greenhouse"), []

    @agent.on(".air", above=30, until=28, field="temperature")
    def cool(hot: bool, reading: Reading) -> None:
        told.append((hot, reading.value, reading.unit))

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance(0)
        for temperature in (29, 31, 29, 33, 28, 31):
            await node.publish("greenhouse.air", {"temperature": temperature}, fields={"temperature": "Cel"})
        await node.publish("greenhouse.air", {"humidity": 99})
        await node.publish("greenhouse.air", {"temperature": "hot"})
        await lab.advance(1)
        assert node.status(agent).functions[0].refused == 1
    assert told == [(True, 31, "Cel"), (False, 28, "Cel"), (True, 31, "Cel")]


@in_virtual_time
async def test_two_sources_cross_on_their_own() -> None:
    agent, told = Agent("w"), []

    @agent.on("t", above=30)
    def hot(is_hot: bool, reading: Reading) -> None:
        told.append((reading.source, is_hot))

    async with Lab() as lab:
        hub = lab.node("hub", role="hub")
        hub.run(agent)
        await lab.advance(0)
        for value in (31, 29):
            for name in ("a", "b"):
                await lab.node(name).publish("t", value)
            await lab.advance(1)
    assert told == [("a", True), ("b", True), ("a", False), ("b", False)]


@in_virtual_time
async def test_a_handler_that_fails_gets_its_message_again_and_a_hopeless_one_is_set_aside() -> None:
    agent, seen = Agent("a"), []

    @agent.on("t")
    async def flaky(reading: Reading) -> None:
        seen.append(reading.value)
        if reading.value == "bad" or len(seen) == 1:
            raise OSError("no")

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance(0)
        for value in ("good", "bad", "next"):
            await node.publish("t", value)
        await lab.advance("1m")
        assert seen == ["good", "good", "bad", "bad", "bad", "bad", "next"]
        assert [delivery.payload.value() for delivery, _ in node.bus.dead] == ["bad"]  # type: ignore[union-attr]


@in_virtual_time
async def test_a_crossing_whose_handler_failed_is_told_again() -> None:
    agent, told = Agent("a"), []

    @agent.on("t", above=30)
    async def hot(is_hot: bool) -> None:
        told.append(is_hot)
        if len(told) == 1:
            raise OSError("not now")

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance(0)
        await node.publish("t", 31)
        await node.publish("t", 32)
        await lab.advance("1m")
    assert told == [True, True]


@in_virtual_time
async def test_the_systems_own_messages_are_not_shown_to_who_asks_for_everything() -> None:
    agent, seen = Agent("a"), []

    @agent.on("#")
    async def note(reading: Reading) -> None:
        seen.append(reading.topic)

    async with Lab() as lab:
        hub, edge = lab.node("hub", role="hub"), lab.node("edge")
        hub.run(agent)
        await lab.advance(0)
        edge.call("nothing.here")
        await edge.publish("x", 1)
        await lab.advance(1)
    assert seen == ["x"]


@in_virtual_time
async def test_handlers_go_on_where_they_stopped_when_the_agent_runs_again() -> None:
    agent, seen = Agent("a"), []

    @agent.on("t")
    async def note(reading: Reading) -> None:
        seen.append(reading.value)

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance(0)
        await node.publish("t", 1)
        await lab.advance(1)
        await node.stop(agent)
        await node.publish("t", 2)
        node.run(agent)
        await lab.advance(1)
    assert seen == [1, 2]


def test_a_handler_that_asks_for_what_nobody_has_is_named_with_its_line() -> None:
    agent = Agent("a")

    @agent.on("t")
    def handle(reading: Reading, bus: object) -> None: ...

    async def story() -> None:
        async with Lab() as lab:
            lab.node("n").run(agent)

    with pytest.raises(Invalid, match=r"line \d+, handle\(\) asks for 'bus', which no resource provides"):
        in_virtual_time(story)()


def test_until_needs_a_threshold() -> None:
    with pytest.raises(Invalid, match="goes with above= or below="):
        Agent("a").on("t", until=3)
