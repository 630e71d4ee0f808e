"""A BME280 on the I2C bus: temperature, pressure and humidity, and a bus that is opened again when it fails.

Install kos-edge[bme280]; without library or hardware a simulated twin is used, and the log says so.
"""

import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from kos_edge import Agent

agent = Agent("roof")


def twin() -> Any:
    pressure = random.gauss(1013, 0.3)
    return SimpleNamespace(temperature=random.gauss(9, 0.2), pressure=pressure, humidity=64.0)


@agent.resource(reopen=OSError)
def sample() -> Iterator[Callable[[], Any]]:
    try:
        import bme280
        from smbus2 import SMBus

        bus = SMBus(1)
    except (ImportError, OSError) as why:
        agent.log.warning("there is no I2C bus with a BME280 here (%s): what follows is SIMULATED", why)
        yield twin
        return
    with bus:
        calibration = bme280.load_calibration_params(bus, 0x76)
        yield lambda: bme280.sample(bus, 0x76, calibration)


@agent.sensor(".weather", every="10s", fields={"temperature": "Cel", "pressure": "Pa", "humidity": "%RH"})
def weather(sample: Callable[[], Any]) -> dict[str, float]:
    now = sample()
    return {"temperature": now.temperature, "pressure": now.pressure * 100, "humidity": now.humidity}


agent.run()
