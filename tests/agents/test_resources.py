"""Resources are opened before they are used and closed whatever happens."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from kos_edge import Agent
from kos_edge.agents.check import check
from kos_edge.errors import Invalid
from kos_edge.testing import Lab, in_virtual_time


@in_virtual_time
async def test_resources_open_in_the_order_of_need_and_close_in_the_opposite_one() -> None:
    agent, done = Agent("a"), []

    @agent.resource
    def sensor(bus: str) -> Iterator[str]:
        done.append(f"sensor on {bus}")
        yield "sensor"
        done.append("sensor closed")

    @agent.resource
    async def bus() -> AsyncIterator[str]:
        done.append("bus")
        yield "bus"
        done.append("bus closed")

    @agent.sensor(".x", every="1h")
    def read(sensor: str) -> str:
        return sensor

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance(1)
        assert node.values("a.x") == ["sensor"]
    assert done == ["bus", "sensor on bus", "sensor closed", "bus closed"]


@in_virtual_time
async def test_an_ordinary_resource_is_opened_used_and_closed_on_one_thread() -> None:
    agent, threads = Agent("a"), []

    @agent.resource
    def pin() -> Iterator[int]:
        threads.append(threading.current_thread().name)
        yield 1
        threads.append(threading.current_thread().name)

    @agent.sensor(".x", every="1h")
    def read(pin: int) -> int:
        threads.append(threading.current_thread().name)
        return pin

    async with Lab() as lab:
        lab.node("n").run(agent)
        await lab.advance(1)
    assert threads == ["agent a"] * 3


@in_virtual_time
async def test_missing_hardware_is_shown_and_tried_again_until_it_is_there() -> None:
    agent, tries = Agent("a"), []

    @agent.resource
    def port() -> Iterator[str]:
        tries.append(1)
        if len(tries) < 4:
            raise FileNotFoundError("no /dev/ttyUSB0")
        yield "port"

    @agent.sensor(".x", every="1h")
    def read(port: str) -> str:
        return port

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance("500ms")
        status = node.status(agent)
        assert status.state == "failed"
        assert status.reason is not None
        assert status.reason.startswith("FileNotFoundError: no /dev/ttyUSB0 (test_resources.py:")
        await lab.advance("10s")
        assert node.status(agent).state == "running"
        assert node.values("a.x") == ["port"]


@in_virtual_time
async def test_hardware_that_went_away_is_opened_anew() -> None:
    agent, opened, closed = Agent("a"), [], []

    @agent.resource(reopen=OSError)
    def bus() -> Iterator[list[int]]:
        opened.append(1)
        yield opened
        closed.append(1)

    @agent.sensor(".x", every=1)
    def read(bus: list[int]) -> int:
        if len(bus) == 1:
            raise OSError("unplugged")
        return len(bus)

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance("3500ms")
        assert node.values("a.x") == [2, 2, 2]
        assert closed == [1]
    assert len(opened) == len(closed) == 2


@in_virtual_time
async def test_an_error_while_closing_does_not_keep_others_from_being_closed() -> None:
    agent, closed = Agent("a"), []

    @agent.resource
    def first() -> Iterator[int]:
        yield 1
        closed.append("first")

    @agent.resource
    def second() -> Iterator[int]:
        yield 2
        raise OSError("it is stuck")

    async with Lab() as lab:
        lab.node("n").run(agent)
        await lab.advance(1)
    assert closed == ["first"]


def test_a_circle_is_refused_by_name() -> None:
    agent = Agent("a")

    @agent.resource
    def one(two: Any) -> Iterator[int]:
        yield 1

    @agent.resource
    def two(one: Any) -> Iterator[int]:
        yield 2

    with pytest.raises(Invalid, match="circle: one → two → one"):
        check(agent)


def test_a_sensor_does_not_yield() -> None:
    agent = Agent("a")

    @agent.sensor(".x", every=1)
    def read() -> Iterator[int]:
        yield 1

    with pytest.raises(Invalid, match=r"read\(\) yields"):
        check(agent)
