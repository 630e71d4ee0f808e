"""Calls between nodes: four outcomes, each meaning exactly what it says."""

from __future__ import annotations

import asyncio
import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge import Agent
from kos_edge.agents.outcome import Accepted, Answer, End, Outcome, Progress, from_payload, to_payload
from kos_edge.agents.port import Fate
from kos_edge.agents.waiting import Stage, Waiting
from kos_edge.errors import Invalid, Misuse, Refused, Unavailable, Unknown
from kos_edge.klp.body import Data, Error
from kos_edge.testing import Lab, in_virtual_time


def valve() -> tuple[Agent, list[float]]:
    agent, moved = Agent("valve"), []

    @agent.command("valve.open")
    async def open_valve(percent: float) -> float:
        await asyncio.sleep(2)
        moved.append(percent)
        return percent

    return agent, moved


@in_virtual_time
async def test_a_call_without_a_node_goes_to_who_has_the_command_here_else_to_the_hub() -> None:
    agent, moved = valve()
    async with Lab() as lab:
        hub, edge = lab.node("hub", role="hub"), lab.node("edge")
        hub.run(agent)
        await lab.advance(1)
        assert await edge.call("valve.open", percent=40.0) == 40.0
        assert await hub.call("valve.open", percent=20.0) == 20.0
        assert moved == [40.0, 20.0]


@in_virtual_time
async def test_nobody_offers_is_refused_wherever_it_is_found_out() -> None:
    async with Lab() as lab:
        hub, edge = lab.node("hub", role="hub"), lab.node("edge")
        await lab.advance(1)
        for caller, node in ((hub, None), (edge, None), (edge, "hub"), (hub, "edge")):
            with pytest.raises(Refused, match=r"nobody offers valve.open on (hub|edge)"):
                await caller.call("valve.open", node=node)
        with pytest.raises(Refused, match="no member is called attic"):
            await edge.call("valve.open", node="attic")


@in_virtual_time
async def test_a_call_waits_for_the_link_until_its_ttl() -> None:
    agent, moved = valve()
    async with Lab() as lab:
        house, garden = lab.node("house"), lab.node("garden")
        house.run(agent)
        await lab.advance(1)
        lab.cut("house")
        call = garden.call("valve.open", node="house", percent=40.0, timeout="1m")
        await lab.advance("40s")
        lab.mend("house")
        assert await call == 40.0
        assert moved == [40.0]


@in_virtual_time
async def test_a_call_that_never_left_is_unavailable_and_never_runs_afterwards() -> None:
    agent, moved = valve()
    async with Lab() as lab:
        house, garden = lab.node("house"), lab.node("garden")
        house.run(agent)
        await lab.advance(1)
        lab.cut("house")
        with pytest.raises(Unavailable, match=r"valve.open on house was not run: it never left this node"):
            await garden.call("valve.open", node="house", percent=40.0, timeout="5s")
        lab.mend("house")
        await lab.advance("1h")
        assert moved == []


@in_virtual_time
async def test_a_call_that_is_still_queued_when_its_caller_gives_up_is_unknown() -> None:
    agent, moved = valve()
    async with Lab() as lab:
        house, garden = lab.node("house"), lab.node("garden")
        house.run(agent)
        await lab.advance(1)
        lab.cut("house")
        call = garden.call("valve.open", node="house", percent=40.0, timeout="5s", ttl="1m")
        with pytest.raises(Unknown, match="may still run until its ttl ends"):
            await call
        lab.mend("house")
        await lab.advance("10s")
        assert moved == [40.0]
        assert call.id is not None
        assert await garden.host.ask(call.id) == 40.0


@in_virtual_time
async def test_a_lost_answer_is_unknown_and_can_be_asked_for_by_id_for_a_day() -> None:
    agent, moved = valve()
    async with Lab() as lab:
        house, garden = lab.node("house"), lab.node("garden")
        house.run(agent)
        await lab.advance(1)
        call = garden.call("valve.open", node="house", percent=40.0, timeout="5s", ttl="1m")
        await lab.advance("1s")
        lab.cut("garden")
        with pytest.raises(Unknown, match="was accepted but did not end within 5 s"):
            await call
        lab.mend("garden")
        await lab.advance("23h")
        assert call.id is not None
        assert await garden.host.ask(call.id) == 40.0
        assert moved == [40.0]


@in_virtual_time
async def test_asking_about_a_call_that_never_ran_withdraws_it() -> None:
    agent, moved = valve()
    async with Lab() as lab:
        house, garden = lab.node("house"), lab.node("garden")
        house.run(agent)
        await lab.advance(1)
        call = garden.call("valve.open", node="house", percent=1.0)
        intent_before = len(house.bus.journal)
        await call
        assert call.id is not None
        never_seen = call.id.rpartition(".")[0] + ".77"
        with pytest.raises(Unknown, match="never run, or is forgotten"):
            await garden.host.ask(never_seen)
        (intent,) = [kept for kept in house.bus.journal[intent_before:] if kept.delivery.id == call.id]
        assert await house.bus.recall(never_seen) is not None
        assert intent.delivery.topic == "kos.call.valve.open"
        assert moved == [1.0]


@in_virtual_time
async def test_a_question_that_reached_nobody_says_nothing_of_the_call() -> None:
    agent, _ = valve()
    async with Lab() as lab:
        house, garden = lab.node("house"), lab.node("garden")
        house.run(agent)
        await lab.advance(1)
        call = garden.call("valve.open", node="house", percent=1.0)
        await call
        lab.cut("house")
        assert call.id is not None
        with pytest.raises(Unknown, match="the question about"):
            await garden.host.ask(call.id, timeout_s=5)


@in_virtual_time
async def test_only_who_made_a_call_may_ask_about_it() -> None:
    agent, _ = valve()
    async with Lab() as lab:
        house, garden, other = lab.node("house"), lab.node("garden"), lab.node("other")
        house.run(agent)
        await lab.advance(1)
        call = garden.call("valve.open", node="house", percent=1.0)
        await call
        assert call.id is not None
        with pytest.raises(Refused, match="only the node that made a call"):
            await other.host.ask(call.id)


@in_virtual_time
async def test_a_call_within_a_node_can_be_asked_about_too() -> None:
    agent, _ = valve()
    async with Lab() as lab:
        house = lab.node("house")
        house.run(agent)
        await lab.advance(1)
        call = house.call("valve.open", percent=1.0, timeout="1s")
        with pytest.raises(Unknown, match="did not end within 1 s"):
            await call
        assert call.id is not None
        await lab.advance(2)
        assert await house.host.ask(call.id) == 1.0
        with pytest.raises(Unknown, match="not known any more"):
            await house.host.ask("local.99")


@in_virtual_time
async def test_calls_under_way_when_the_caller_stops_are_unknown() -> None:
    agent, _ = valve()
    async with Lab() as lab:
        house, garden = lab.node("house"), lab.node("garden")
        house.run(agent)
        await lab.advance(1)
        call = garden.call("valve.open", node="house", percent=1.0)
        await lab.advance("500ms")
        await garden.stop()
        with pytest.raises(Unknown, match=r"this node stopped while valve.open was under way"):
            await call


def test_an_agent_that_does_not_run_calls_nobody() -> None:
    agent = Agent("a")
    with pytest.raises(Misuse, match="agent a is not running"):
        agent.call("x")
    with pytest.raises(Misuse, match="agent a is not running"):
        agent.publish("x", 1)
    with pytest.raises(Misuse, match="agent a is not running"):
        agent.sync.publish("x", 1)


# The rules alone.


def waiting(timeout_s: float = 5.0, ttl_s: float = 5.0) -> Waiting:
    machine = Waiting("x on y", timeout_s=timeout_s, ttl_s=ttl_s, now=100.0)
    machine.sent()
    return machine


@pytest.mark.parametrize(
    ("fate", "end"),
    [
        (Fate.QUEUED, End.UNKNOWN),
        (Fate.SENT, End.UNKNOWN),
        (Fate.DELIVERED, End.UNKNOWN),
        (Fate.EXPIRED, End.UNAVAILABLE),
    ],
)
def test_silence_is_judged_by_how_far_the_message_came(fate: Fate, end: End) -> None:
    machine = waiting()
    machine.look(machine.at, fate)
    assert machine.outcome is not None
    assert machine.outcome.end is end


def test_a_short_ttl_ends_the_wait_before_the_timeout() -> None:
    machine = waiting(timeout_s=60, ttl_s=5)
    assert machine.at == pytest.approx(105.05)
    machine.look(machine.at, Fate.EXPIRED)
    assert machine.outcome is not None
    assert machine.outcome.end is End.UNAVAILABLE


def test_a_call_that_left_within_a_short_ttl_waits_for_its_answer() -> None:
    machine = waiting(timeout_s=60, ttl_s=5)
    machine.look(machine.at, Fate.SENT)
    assert machine.outcome is None
    assert machine.at == 160.0
    machine.answered(Outcome(End.DONE, 7))
    assert machine.outcome == Outcome(End.DONE, 7)


@given(st.lists(st.sampled_from(["accepted", "progress", "done", "refused", "look"]), max_size=12))
def test_the_first_outcome_counts_and_nothing_comes_after_it(events: list[str]) -> None:
    machine, first = waiting(), None
    answers: dict[str, Answer] = {
        "accepted": Accepted(),
        "progress": Progress(1),
        "done": Outcome(End.DONE, 1),
        "refused": Outcome(End.REFUSED),
    }
    for event in events:
        if event == "look":
            machine.look(machine.at, Fate.EXPIRED)
        else:
            machine.answered(answers[event])
        first = first or machine.outcome
        assert machine.outcome is first
        assert (machine.stage is Stage.ENDED) is (first is not None)


def test_what_a_stage_does_not_accept_changes_nothing() -> None:
    machine = Waiting("x", timeout_s=1, ttl_s=1, now=0.0)
    with pytest.raises(Misuse):
        machine.answered(Accepted())
    machine.sent()
    with pytest.raises(Misuse):
        machine.sent()
    assert machine.stage is Stage.SENT


@pytest.mark.parametrize(
    "answer",
    [
        Accepted(),
        Progress({"at": 3}),
        Outcome(End.DONE, [1, 2]),
        Outcome(End.REFUSED, text="no", hint="ask nicely"),
        Outcome(End.UNAVAILABLE, text="later"),
        Outcome(End.UNKNOWN, text="perhaps"),
    ],
)
def test_answers_travel(answer: Answer) -> None:
    assert from_payload(to_payload(answer)) == answer


def test_an_error_code_that_we_do_not_know_means_that_we_do_not_know() -> None:
    answer = from_payload(Error("on-fire", "\x1b[2Jsmoke"))
    assert answer == Outcome(End.UNKNOWN, text="�[2Jsmoke")


@pytest.mark.parametrize(
    "payload", [Data(1), Data({"status": "nearly"}, "kos.answer"), Data("done", "kos.answer")]
)
def test_what_is_no_answer_is_invalid(payload: Data) -> None:
    with pytest.raises(Invalid):
        from_payload(payload)


def test_outcomes_are_kept_as_they_are() -> None:
    for outcome in (Outcome(End.DONE, {"a": 1}), Outcome(End.UNKNOWN, text="t", hint="h")):
        assert Outcome.from_bytes(outcome.to_bytes()) == outcome
    for damaged in (b"started", b"\xf6", b"\x84\x61x\xf6\x60\xf6"):
        with pytest.raises(Invalid):
            Outcome.from_bytes(damaged)


@in_virtual_time
async def test_a_call_that_nobody_awaits_does_not_fail_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    async with Lab() as lab:
        node = lab.node("n", role="hub")
        await lab.advance(1)
        node.call("lamp.set", on=True)
        await lab.advance(1)
    gc.collect()
    assert "a call that nobody awaited ended as refused: nobody offers lamp.set on n" in caplog.text
