"""Any number of DS18B20 thermometers on one wire, each under its own serial number.

Install kos-edge[ds18b20]; without library or hardware a simulated twin is used, and the log says so.
"""

import random
from typing import Any

from kos_edge import Agent

agent = Agent("boiler")


class Twin:
    id = "simulated"

    def get_temperature(self) -> float:
        return round(random.gauss(63, 0.5), 3)


@agent.resource
def thermometers() -> list[Any]:
    try:
        from w1thermsensor import W1ThermSensor

        found = W1ThermSensor.get_available_sensors()
    except Exception as why:
        agent.log.warning("there is no 1-Wire bus here (%s): what follows is SIMULATED", why)
        return [Twin()]
    if not found:
        agent.log.warning("there is no DS18B20 on the wire: what follows is SIMULATED")
    return found or [Twin()]


@agent.sensor(".temperature", every="10s", unit="Cel")
def temperature(thermometers: list[Any]) -> dict[str, float]:
    return {meter.id: meter.get_temperature() for meter in thermometers}


agent.run()
