"""A call from one edge to another, as the example has it, with the hub and without. Real processes on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.boxes import ROOT, Box, boxes, joined, until

pytestmark = pytest.mark.e2e

EXAMPLE = ROOT / "examples" / "04_call_between_nodes"


@pytest.fixture
def garden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Box, Box, Box]]:
    """A hub, a bed whose soil is measured, and the pump house with the valve; bed and pump house know each other."""
    with boxes(tmp_path_factory.mktemp("garden"), "hub", "pump-house", "bed") as (hub, house, bed):
        joined(hub, house, bed)
        house.start(str(EXAMPLE / "valve.py"))
        bed.start(str(EXAMPLE / "controller.py"), peers=[house])
        bed.until_connected(2)
        house.until_connected(2)
        yield hub, house, bed


def valve_after(bed: Box, *moistures: float) -> list[float]:
    """Where the valve went when the soil was so moist: once, for the probe itself finds it just right."""
    before = len(positions(bed))
    for moisture in moistures:
        assert bed("publish", "garden.soil.moisture", str(moisture), "--unit", "%").code == 0
    until(lambda: len(positions(bed)) > before, f"the valve did not move\n{bed.log[-2000:]}")
    return positions(bed)[before:]


def positions(bed: Box) -> list[float]:
    return [message["body"] for message in bed.kept() if message["topic"] == "garden.valve"]


def test_a_node_opens_a_valve_on_another_one_with_the_hub_and_without_it(
    garden: tuple[Box, Box, Box],
) -> None:
    hub, house, bed = garden
    assert valve_after(bed, 50, 10) == [40.0]
    hub.stop()
    until(lambda: hub.status() is None, "the hub is there still")
    assert valve_after(bed, 40) == [0.0]
    assert valve_after(bed, 10) == [40.0]
    assert house.ask("status")["agents"][0]["errors"] == 0
