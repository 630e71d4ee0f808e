"""Warns of frost and counts the nights. The test beside it runs a whole winter night in no time."""

from kos_edge import Agent

agent = Agent("frost")
nights = 0


@agent.on("roof.weather", field="temperature", below=0, until=2)
async def freezes(is_freezing: bool) -> None:
    global nights
    nights += is_freezing
    await agent.publish(".warning", is_freezing)
    if is_freezing:
        await agent.call("heating.boost", minutes=30, timeout="10s")


@agent.sensor(".nights", every="1h")
def frosty_nights() -> int:
    return nights


agent.run()
