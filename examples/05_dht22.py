"""A DHT22 on GPIO 4: two values from one reading, and a sensor that fails now and then.

Install kos-edge[dht22]; without library or hardware a simulated twin is used, and the log says so.
"""

import random
from collections.abc import Iterator
from typing import Any

from kos_edge import Agent

agent = Agent("cellar")


class Twin:
    @property
    def temperature(self) -> float:
        if random.random() < 0.2:
            raise RuntimeError("A full buffer was not returned. Try again.")  # as the real one does
        return round(random.gauss(14, 0.2), 1)

    humidity = 71.0

    def exit(self) -> None: ...


@agent.resource
def dht() -> Iterator[Any]:
    try:
        import adafruit_dht
        import board

        sensor = adafruit_dht.DHT22(board.D4)
    except Exception as why:
        agent.log.warning("there is no DHT22 here (%s): what follows is SIMULATED", why)
        sensor = Twin()
    yield sensor
    sensor.exit()


@agent.sensor(
    ".air", every="30s", fields={"temperature": "Cel", "humidity": "%RH"}, retry=3, expect=RuntimeError
)
def air(dht: Any) -> dict[str, float | None]:
    return {"temperature": dht.temperature, "humidity": dht.humidity}


agent.run()
