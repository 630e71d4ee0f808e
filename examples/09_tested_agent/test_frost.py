"""How to test an agent: a lab of nodes in memory, in virtual time. Run it with pytest."""

from pathlib import Path

from kos_edge import Agent
from kos_edge.testing import Lab, in_virtual_time, load

heating = Agent("heating")
boosts: list[int] = []


@heating.command("heating.boost")
def boost(minutes: int) -> None:
    boosts.append(minutes)


@in_virtual_time
async def test_one_cold_night_is_one_warning_and_one_boost() -> None:
    (frost,) = load(Path(__file__).with_name("frost.py"))
    async with Lab() as lab:
        house = lab.node("house")
        house.run(frost, heating)
        for temperature in (3.0, 1.0, -0.5, 0.4, -2.0, 1.5, 2.5):
            await lab.advance("1h")
            await house.publish("roof.weather", {"temperature": temperature, "humidity": 80.0})
        await lab.advance("1h")
        assert house.values("frost.warning") == [True, False]
        assert house.values("frost.nights")[-1] == 1
        assert boosts == [30]
