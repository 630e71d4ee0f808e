"""Sensors, in virtual time."""

from __future__ import annotations

import asyncio
import logging
import math
import threading

import pytest

from kos_edge import Agent, Reading
from kos_edge.errors import Invalid
from kos_edge.testing import Lab, in_virtual_time


@in_virtual_time
async def test_a_sensor_is_read_at_once_and_then_every_so_often() -> None:
    agent = Agent("a")

    @agent.sensor(".t", every="30s", unit="Cel")
    def temperature() -> float:
        return 20.5

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance("5m")
        readings = node.published["a.t"]
        assert [reading.at for reading in readings] == pytest.approx(
            [1_800_000_000 + 30 * n for n in range(11)]
        )
        assert {(reading.value, reading.unit, reading.source) for reading in readings} == {(20.5, "Cel", "n")}


@in_virtual_time
async def test_an_async_sensor_that_is_slow_skips_ticks_and_does_not_drift() -> None:
    agent = Agent("a")

    @agent.sensor("x", every=1)
    async def slow() -> float:
        await asyncio.sleep(2.5)
        return 1.0

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance(10)
        times = [reading.at or 0 for reading in node.published["x"]]
        assert times == pytest.approx([1_800_000_000 + t for t in (2.5, 5.5, 8.5)])
        assert node.status(agent).functions[0].skipped == 6


@in_virtual_time
async def test_several_values_are_one_message() -> None:
    agent = Agent("a")

    @agent.sensor(".air", every="1m", fields={"temperature": "Cel", "humidity": "%RH"})
    def air() -> dict[str, float]:
        return {"temperature": 20.0, "humidity": 40.0}

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance(1)
        (reading,) = node.published["a.air"]
        assert reading.value == {"temperature": 20.0, "humidity": 40.0}
        assert reading.unit == {"temperature": "Cel", "humidity": "%RH"}


@in_virtual_time
async def test_none_publishes_nothing_and_nan_is_refused_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent, values = Agent("a"), [None, math.nan, math.inf, 4.0]

    @agent.sensor(".x", every=1)
    def x() -> float | None:
        return values.pop(0) if values else None

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance(10)
        assert node.values("a.x") == [4.0]
        status = node.status(agent).functions[0]
        assert (status.refused, status.errors, status.published, status.runs) == (2, 0, 1, 11)
    assert [record.levelname for record in caplog.records if "no reading" in record.message].count(
        "WARNING"
    ) == 1


@in_virtual_time
async def test_an_error_is_told_once_and_the_schedule_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "kos_edge.agents.a")
    agent, runs = Agent("a"), []

    @agent.sensor(".x", every=1)
    def x() -> float:
        runs.append(1)
        if len(runs) % 2:
            raise OSError("the bus is \x1b[31mbusy")
        return 1.0

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance(9)
        status = node.status(agent).functions[0]
        assert (status.errors, status.published) == (5, 5)
        assert status.last_error is not None
        assert status.last_error.startswith("OSError: the bus is �[31mbusy (test_sensors.py:")
    told = [record.levelname for record in caplog.records if "the bus is" in record.message]
    assert told.count("WARNING") == 1
    assert told.count("DEBUG") == 4


@in_virtual_time
async def test_hardware_that_fails_now_and_then_is_tried_again_within_its_tick() -> None:
    agent = Agent("a")
    results: list[float | Exception] = [RuntimeError(), RuntimeError(), 1.0, ValueError(), 2.0]

    @agent.sensor(".x", every="30s", retry=3, expect=RuntimeError)
    def x() -> float:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance("61s")
        status = node.status(agent).functions[0]
        assert node.values("a.x") == [1.0, 2.0]
        assert (status.retries, status.errors) == (2, 1)


@in_virtual_time
async def test_ordinary_functions_of_one_agent_never_run_at_the_same_time() -> None:
    agent, inside, most = Agent("a"), [], []

    def read() -> float:
        inside.append(threading.current_thread().name)
        most.append(len(inside))
        inside.pop()
        return 1.0

    for number in range(8):
        agent.sensor(f".x{number}", every="100ms")(read)

    async with Lab() as lab:
        lab.node("n").run(agent)
        await lab.advance(1)
    assert len(most) == 88
    assert max(most) == 1


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), StopIteration(), MemoryError()])
@pytest.mark.parametrize("is_async", [True, False])
def test_whatever_a_function_raises_only_its_own_run_is_lost(error: BaseException, is_async: bool) -> None:
    agent, runs = Agent("a"), []

    def work() -> float:
        runs.append(1)
        if len(runs) == 1:
            raise error
        return 1.0

    async def later() -> float:
        return work()

    agent.sensor(".x", every=1)(later if is_async else work)

    @in_virtual_time
    async def story() -> None:
        async with Lab() as lab:
            node = lab.node("n")
            node.run(agent)
            await lab.advance(2)
            assert node.values("a.x") == [1.0, 1.0]
            assert node.status(agent).functions[0].errors == 1

    story()


@in_virtual_time
async def test_an_ordinary_function_publishes_through_sync() -> None:
    agent = Agent("a")

    @agent.on("start")
    def relay(reading: Reading) -> None:
        agent.sync.publish(".copy", reading.value)

    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await node.publish("start", 5)
        await lab.advance(1)
        assert node.values("a.copy") == [5]


@pytest.mark.parametrize(
    ("topic", "options", "text"),
    [
        ("a b", {"every": 1}, "not a topic"),
        (".x", {"every": 0}, "too often"),
        (".x", {"every": "soon"}, "not a duration"),
        ("kos.call.x", {"every": 1}, "the system's own"),
        (".x", {"every": 1, "unit": "Cel", "fields": {"a": "Cel"}}, "either unit= or fields="),
        (".x", {"every": 1, "retry": -1}, "retry="),
    ],
)
def test_a_sensor_declared_wrongly_says_so_at_once(topic: str, options: dict[str, float], text: str) -> None:
    with pytest.raises(Invalid, match=text):
        Agent("a").sensor(topic, **options)  # type: ignore[arg-type]
