"""A valve that others may open. It runs on the node pump-house; controller.py calls it from another one.

Nobody has to remember to close it: its safe value is applied when the agent starts, stops and breaks down.
"""

import asyncio
from collections.abc import Callable

from kos_edge import Agent
from kos_edge.errors import Refused

agent = Agent("valve")
percent_now = 0.0


@agent.command("valve.open", safe=0.0)
async def open_valve(percent: float, progress: Callable[[float], None]) -> float:
    global percent_now
    if not 0 <= percent <= 100:
        raise Refused(f"percent is from 0 to 100, not {percent:g}")
    while percent_now != percent:
        await asyncio.sleep(0.1)
        percent_now += max(-10.0, min(10.0, percent - percent_now))
        progress(percent_now)
    return percent_now


agent.run()
