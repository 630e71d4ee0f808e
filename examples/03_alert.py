"""An alert with hysteresis: one message when memory gets short, one when it is fine again."""

from pathlib import Path

from kos_edge import Agent, Reading

agent = Agent("watch")


@agent.sensor(".memory.used", every="10s", unit="%")
def memory_used() -> float:
    lines = [line.split() for line in Path("/proc/meminfo").read_text().splitlines()]
    amount = {words[0]: int(words[1]) for words in lines}
    return round(100 - 100 * amount["MemAvailable:"] / amount["MemTotal:"], 1)


@agent.on(".memory.used", above=90, until=80)
async def memory_is_short(is_short: bool, reading: Reading) -> None:
    state = "short" if is_short else "fine again"
    agent.log.warning("memory is %s: %s", state, reading)
    await agent.publish(".alert", f"memory is {state}: {reading}")


agent.run()
