"""A fan on GPIO 18 that follows the temperature of the processor, and blows when nobody is in charge.

Install kos-edge[gpio]; without library or hardware a simulated twin is used, and the log says so.
"""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kos_edge import Agent

agent = Agent("fan")
processor = Path("/sys/class/thermal/thermal_zone0/temp")


@agent.resource
def pin() -> Iterator[Any]:
    try:
        from gpiozero import PWMOutputDevice

        device = PWMOutputDevice(18)
    except Exception as why:
        agent.log.warning("there is no GPIO here (%s): the fan is SIMULATED", why)
        device = SimpleNamespace(value=0.0, close=lambda: None)
    yield device
    device.close()


@agent.command(".set", safe=1.0)
def set_speed(speed: float, pin: Any) -> float:
    pin.value = max(0.0, min(1.0, speed))
    return float(pin.value)


@agent.sensor(".processor", every="5s", unit="Cel")
def temperature() -> float | None:
    return int(processor.read_text()) / 1000 if processor.exists() else None


@agent.on(".processor", above=60, until=50)
async def cool(is_hot: bool) -> None:
    await agent.publish(".speed", await agent.call(".set", speed=1.0 if is_hot else 0.3), unit="/")


agent.run()
