"""The smallest agent: a greeting every five seconds. Run it: kos-edge run examples/01_hello.py"""

from kos_edge import Agent

agent = Agent("hello")


@agent.sensor(".greeting", every="5s")
def greeting() -> str:
    return "Hello from the edge"


agent.run()
