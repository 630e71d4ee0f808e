"""The runtime inside another asyncio program: a little server that tells the newest readings.

python examples/10_inside_asyncio.py STATE_DIRECTORY &    then    nc 127.0.0.1 7777
"""

import asyncio
import contextlib
import os
import sys

from kos_edge import Agent, Node, Reading

agent = Agent("office")
newest: dict[str, Reading] = {}


@agent.sensor(".load", every="1s")
def load() -> float:
    return os.getloadavg()[0]


@agent.on("#")
async def remember(reading: Reading) -> None:
    newest[reading.topic] = reading


async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    lines = [f"{topic} = {reading} from {reading.source}\n" for topic, reading in sorted(newest.items())]
    writer.write("".join(lines).encode())
    await writer.drain()
    writer.close()


async def main(state: str) -> None:
    async with Node(state, agents=[agent]):
        server = await asyncio.start_server(answer, "127.0.0.1", 7777)
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1]))
