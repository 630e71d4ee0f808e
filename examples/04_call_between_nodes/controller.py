"""Waters the garden: when the soil is dry it opens the valve on another node, and closes it again.

Whatever happens on the way is one of four things: the value, Refused, Unavailable or Unknown. The simulated probe
sits in soil that is just right; to see the valve move, say that it is dry, and then that it is wet:

    kos-edge publish garden.soil.moisture 10 --unit %
    kos-edge publish garden.soil.moisture 40 --unit %
"""

import os
import random

from kos_edge import Agent
from kos_edge.errors import Refused, Unavailable, Unknown

agent = Agent("garden")
pump_house = os.environ.get("VALVE_NODE", "pump-house")


@agent.sensor(".soil.moisture", every="10s", unit="%")
def moisture() -> float:
    return random.uniform(24, 30)  # a simulated probe, in moist soil


@agent.on(".soil.moisture", below=20, until=35)
async def water(is_dry: bool) -> None:
    percent = 40.0 if is_dry else 0.0
    call = agent.call("valve.open", percent=percent, node=pump_house, timeout="30s", ttl="1m")
    try:
        async for position in call:
            agent.log.info("the valve is at %g %%", position)
        await agent.publish(".valve", await call, unit="%")
    except Refused as error:
        agent.log.error("the valve will not do that: %s", error)
    except Unavailable as error:
        agent.log.warning("the valve has certainly not moved: %s", error)
    except Unknown as error:
        agent.log.warning("the valve may have moved: %s; ask about %s later", error, call.id)


agent.run()
