"""Commands: safe values, arguments, one at a time, at most once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kos_edge import Agent
from kos_edge.agents.commands import Commands
from kos_edge.agents.outcome import CALL_TOPIC
from kos_edge.agents.port import Delivery
from kos_edge.errors import Invalid, Misuse, Refused, Unavailable, Unknown
from kos_edge.klp.body import Data, Intent
from kos_edge.testing import Lab, in_virtual_time


def fan() -> tuple[Agent, list[Any]]:
    agent, set_to = Agent("fan"), []

    @agent.command(".set", safe=0.0)
    def set_speed(speed: float) -> float:
        set_to.append(speed)
        if speed > 1:
            raise Refused("speed is from 0 to 1")
        if speed < 0:
            raise OSError("the pin is gone")
        return speed

    return agent, set_to


@in_virtual_time
async def test_the_safe_value_is_applied_at_start_and_at_stop() -> None:
    agent, set_to = fan()
    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance(1)
        assert set_to == [0.0]
        assert await node.call("fan.set", speed=0.7) == 0.7
    assert set_to == [0.0, 0.7, 0.0]


@in_virtual_time
async def test_a_command_that_breaks_down_is_put_into_its_safe_state() -> None:
    agent, set_to = fan()
    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance(1)
        with pytest.raises(Unknown, match="broke down: OSError: the pin is gone"):
            await node.call("fan.set", speed=-1)
        assert set_to == [0.0, -1, 0.0]
        with pytest.raises(Refused, match="from 0 to 1"):
            await node.call("fan.set", speed=2)
        assert set_to == [0.0, -1, 0.0, 2]
        status = node.status(agent).functions[0]
        assert (status.errors, status.refused) == (1, 1)


@in_virtual_time
async def test_an_agent_that_breaks_down_leaves_its_commands_safe() -> None:
    agent, set_to = fan()

    @agent.resource(reopen=OSError)
    def port() -> Iterator[int]:
        yield 1

    @agent.sensor(".x", every=10)
    def read(port: int) -> int:
        raise OSError("unplugged")

    async with Lab() as lab:
        lab.node("n").run(agent)
        await lab.advance("100ms")
        assert set_to == [0.0, 0.0]


@in_virtual_time
async def test_a_safe_value_that_cannot_be_applied_keeps_the_agent_from_running() -> None:
    agent = Agent("a")

    @agent.command("x", safe=False)
    def x(on: bool) -> None:
        raise OSError("no pin")

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance("100ms")
        status = node.status(agent)
        assert status.state == "failed"
        assert status.reason is not None
        assert status.reason.startswith("x did not take its safe value: OSError: no pin")
        with pytest.raises(Unavailable, match="agent a is failed"):
            await node.call("x", on=True)


@in_virtual_time
async def test_arguments_are_checked_before_anything_happens() -> None:
    agent, set_to = fan()
    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance(1)
        with pytest.raises(Refused, match="speed must be float, not str"):
            await node.call("fan.set", speed="fast")
        assert set_to == [0.0]


@in_virtual_time
async def test_calls_of_one_command_run_one_after_the_other_in_their_order() -> None:
    agent, done = Agent("a"), []

    @agent.command("work")
    async def work(number: int) -> int:
        await asyncio.sleep(10 - number)
        done.append(number)
        return number

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance(1)
        calls = [node.call("work", number=number, timeout="2m") for number in range(5)]
        await lab.advance("1m")
        assert [await call for call in calls] == done == [0, 1, 2, 3, 4]


@in_virtual_time
async def test_progress_comes_from_threads_and_from_coroutines_alike() -> None:
    agent = Agent("a")

    @agent.command("plain")
    def plain(progress: Callable[[int], None]) -> str:
        for step in range(3):
            progress(step)
        return "done"

    @agent.command("later")
    async def later(progress: Callable[[int], None]) -> str:
        for step in range(3):
            progress(step)
            await asyncio.sleep(1)
        return "done"

    async with Lab() as lab:
        hub, edge = lab.node("hub", role="hub"), lab.node("edge")
        edge.run(agent)
        await lab.advance(1)
        for caller, node in ((edge, None), (hub, "edge")):
            for action in ("plain", "later"):
                call = caller.call(action, node=node)
                assert [value async for value in call] == [0, 1, 2]
                assert await call == "done"


@in_virtual_time
async def test_a_call_that_comes_twice_is_run_once_and_answered_twice() -> None:
    agent, set_to = fan()
    async with Lab() as lab:
        node, other = lab.node("n"), lab.node("other")
        node.run(agent)
        await lab.advance(1)
        call = other.call("fan.set", node="n", speed=0.5)
        assert await call == 0.5
        (intent,) = [kept for kept in node.bus.journal if kept.delivery.topic == "kos.call.fan.set"]
        node.bus.receive(intent.delivery, intent.expires)
        await lab.advance(1)
        assert set_to == [0.0, 0.5]
        answers = [sent.payload for sent in node.bus.published if sent.topic == "kos.answer.fan.set"]
        assert [answer.content["status"] for answer in answers if isinstance(answer, Data)] == [
            "accepted",
            "done",
            "done",
        ]


@in_virtual_time
async def test_a_call_that_was_running_when_the_node_died_is_not_run_again() -> None:
    agent, started = Agent("a"), []

    @agent.command("slow")
    async def slow() -> None:
        started.append(1)
        await asyncio.sleep(3600)

    async with Lab() as lab:
        node, other = lab.node("n"), lab.node("other")
        node.run(agent)
        await lab.advance(1)
        call = other.call("slow", node="n", timeout="10s")
        await lab.advance("1s")
        (intent,) = [kept for kept in node.bus.journal if kept.delivery.topic == "kos.call.slow"]
        after_the_crash = Commands(node.bus)
        await after_the_crash.handle(intent.delivery)
        with pytest.raises(Unknown, match="was interrupted: the node stopped while it ran"):
            await call
        assert started == [1]


@in_virtual_time
async def test_a_call_whose_ttl_ends_before_its_turn_is_certainly_not_run() -> None:
    agent, ran = Agent("a"), []

    @agent.command("slow")
    async def slow(number: int) -> None:
        ran.append(number)
        await asyncio.sleep(20)

    async with Lab() as lab:
        node, other = lab.node("n"), lab.node("other")
        node.run(agent)
        await lab.advance(1)
        first = other.call("slow", node="n", number=1, timeout="1m")
        second = other.call("slow", node="n", number=2, timeout="1m", ttl="5s")
        await first
        with pytest.raises(Unavailable, match="its ttl ended before its turn came"):
            await second
        assert ran == [1]


@in_virtual_time
async def test_stopping_tells_the_callers_and_leaves_everything_safe() -> None:
    agent, position = Agent("a"), []

    @agent.command("open", safe=0)
    async def open_valve(percent: int) -> None:
        position.append(percent)
        if percent:
            await asyncio.sleep(3600)

    async with Lab() as lab:
        node, other = lab.node("n"), lab.node("other")
        node.run(agent)
        await lab.advance(1)
        call = other.call("open", node="n", percent=40, timeout="1m")
        await lab.advance(1)
        await node.stop()
        with pytest.raises(Unknown, match="n stopped while open was running"):
            await call
    assert position == [0, 40, 0]


@in_virtual_time
async def test_a_result_that_cannot_be_sent_is_told_as_that() -> None:
    agent = Agent("a")

    @agent.command("x")
    def x() -> object:
        return object()

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance(1)
        with pytest.raises(Unknown, match="ran, but its result cannot be sent"):
            await node.call("x")


@in_virtual_time
async def test_an_intent_on_the_topic_of_another_action_is_refused() -> None:
    async with Lab() as lab:
        node, other = lab.node("n"), lab.node("other")
        agent, set_to = fan()
        node.run(agent)
        await lab.advance(1)
        disguised = Intent("fan.set", {"speed": 1.0})
        id = await other.bus.publish(
            f"{CALL_TOPIC}.lamp.set", disguised, audience=node.bus.audience("n") or "all"
        )
        await lab.advance(1)
        assert set_to == [0.0]
        (answer,) = [kept.delivery for kept in other.bus.journal if kept.delivery.correlation == id]
        assert isinstance(answer, Delivery)


@in_virtual_time
async def test_two_agents_cannot_offer_one_command() -> None:
    one, two = Agent("one"), Agent("two")
    for agent in (one, two):
        agent.command("lamp.set")(lambda on: on)
    async with Lab() as lab:
        node = lab.node("n")
        node.run(one, two)
        with pytest.raises(Invalid, match=r"two and one both offer lamp.set"):
            await lab.advance(1)


def test_a_safe_value_has_to_fit_the_signature() -> None:
    agent = Agent("a")

    @agent.command("x", safe="off")
    def x(on: bool) -> None: ...

    async def story() -> None:
        async with Lab() as lab:
            lab.node("n").run(agent)

    with pytest.raises(Invalid, match="safe= does not fit: x: on must be bool, not str"):
        in_virtual_time(story)()


@pytest.mark.parametrize("name", ["node", "timeout", "ttl"])
def test_a_parameter_that_call_itself_has_is_refused_at_once(name: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def command({name}): ...", namespace)
    with pytest.raises(Invalid, match=rf"has a parameter '{name}'"):
        Agent("a").command("x")(namespace["command"])


@in_virtual_time
async def test_an_ordinary_function_does_not_wait_for_itself() -> None:
    agent, errors = Agent("a"), []

    @agent.command("x")
    def x() -> None: ...

    @agent.on("go")
    def go() -> None:
        try:
            agent.sync.call("x")
        except Misuse as error:
            errors.append(error.message)

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance(0)
        await node.publish("go", 1)
        await lab.advance(1)
    assert errors == ["a would wait for itself"]
