"""Every numbered example runs for a while in a lab, and does what it says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from kos_edge import Agent
from kos_edge.agents.loader import load
from kos_edge.testing import Lab, in_virtual_time

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = [file for file in sorted(EXAMPLES.rglob("*.py")) if not file.name.startswith("test_")]


def example(name: str) -> Agent:
    (agent,) = load(EXAMPLES / name)
    return agent


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_is_short_and_says_what_it_is(file: Path) -> None:
    text = file.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()) <= 60


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_runs_for_two_minutes_without_an_error(file: Path) -> None:
    (agent,) = load(file)

    @in_virtual_time
    async def story() -> None:
        async with Lab() as lab:
            node = lab.node("n", role="hub")
            node.run(agent)
            await lab.advance("2m")
            status = node.status(agent)
            assert status.state == "running"
            assert sum(function.errors + function.refused for function in status.functions) == 0

    story()


@in_virtual_time
async def test_02_publishes_as_many_real_readings_a_second_as_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KOS_EDGE_RATE", "200")
    agent = example("02_this_machine.py")
    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance("2s")
        published = node.published
        assert sum(map(len, published.values())) == pytest.approx(400, abs=5)
        memory = published["machine.memory"][0]
        assert memory["MemTotal"].value > memory["MemAvailable"].value > 0
        assert memory["MemTotal"].unit == "B"
        assert all(reading.value["1min"] >= 0 for reading in published["machine.load"])


@in_virtual_time
async def test_03_alerts_once_when_memory_gets_short_and_once_when_it_is_fine() -> None:
    agent = example("03_alert.py")
    async with Lab() as lab:
        node, other = lab.node("n", role="hub"), lab.node("other")
        node.run(agent)
        await lab.advance(1)
        for used in (85, 91, 95, 85, 95, 79, 70):
            await other.publish("watch.memory.used", used, unit="%")
        await lab.advance(1)
        assert node.values("watch.alert") == ["memory is short: 91 %", "memory is fine again: 79 %"]


@in_virtual_time
async def test_04_the_controller_opens_the_valve_on_the_other_node_and_closes_it() -> None:
    valve, garden = example("04_call_between_nodes/valve.py"), example("04_call_between_nodes/controller.py")
    async with Lab() as lab:
        house, bed = lab.node("pump-house"), lab.node("bed")
        house.run(valve)
        bed.run(garden)
        await lab.advance("1s")
        begun = len(bed.values("garden.valve"))
        for moisture in (50, 10, 30, 40):
            await bed.publish("garden.soil.moisture", moisture)
            await lab.advance("4s")
        assert bed.values("garden.valve")[begun:][-2:] == [40.0, 0.0]


@pytest.mark.parametrize(
    ("name", "topic", "names"),
    [
        ("05_dht22.py", "cellar.air", {"temperature", "humidity"}),
        ("06_bme280.py", "roof.weather", {"temperature", "pressure", "humidity"}),
        ("07_ds18b20.py", "boiler.temperature", {"simulated"}),
    ],
)
def test_a_sensor_that_is_not_there_is_simulated_and_the_log_says_so(
    name: str, topic: str, names: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    @in_virtual_time
    async def story() -> None:
        async with Lab() as lab:
            node = lab.node("n")
            node.run(example(name))
            await lab.advance("1m")
            assert {frozenset(reading.value) for reading in node.published[topic]} == {frozenset(names)}

    story()
    assert caplog.text.count("SIMULATED") == 1


@in_virtual_time
async def test_08_the_fan_follows_the_temperature_and_blows_when_nobody_is_in_charge() -> None:
    agent = example("08_fan.py")
    async with Lab() as lab:
        node, other = lab.node("n", role="hub"), lab.node("other")
        node.run(agent)
        await lab.advance(1)
        for temperature in (55, 65, 55, 45):
            await other.publish("fan.processor", temperature, unit="Cel")
        await lab.advance(1)
        assert node.values("fan.speed") == [1.0, 0.3]


def test_09_has_a_test_of_its_own_that_passes() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(EXAMPLES / "09_tested_agent"),
    ]
    run = subprocess.run(command, cwd=EXAMPLES.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@in_virtual_time
async def test_10_keeps_the_newest_reading_of_every_topic() -> None:
    agent = example("10_inside_asyncio.py")
    async with Lab() as lab:
        node = lab.node("n")
        node.run(agent)
        await lab.advance("3s")
        await asyncio.sleep(0)
        assert node.status(agent).functions[1].runs == 4
