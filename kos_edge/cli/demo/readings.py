"""The agent of the demonstration: this machine's real readings, 100 a second, until a given file is there."""

import os
from pathlib import Path

from kos_edge import Agent

RATE = float(os.environ.get("KOS_EDGE_RATE", "100"))
STOP_FILE = os.environ.get("KOS_EDGE_STOP_FILE", "")

agent = Agent("machine")


def load() -> dict[str, float]:
    return dict(zip(("1min", "5min"), os.getloadavg(), strict=False))


def memory() -> dict[str, float]:
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines()[:3])
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}


def processor() -> dict[str, float]:
    user, nice, system, idle = map(int, Path("/proc/stat").read_text().split(None, 5)[1:5])
    return {"busy": (user + nice + system) / 100, "idle": idle / 100}


def network() -> dict[str, float]:
    lines = (line.split() for line in Path("/proc/net/dev").read_text().splitlines()[2:])
    received, sent = zip(*((int(words[1]), int(words[9])) for words in lines), strict=True)
    return {"received": sum(received), "sent": sum(sent)}


SOURCES = {load: "1", memory: "B", processor: "s", network: "B"}

for source, unit in SOURCES.items():

    def read(source=source):  # type: ignore[no-untyped-def]
        return source() if not os.path.exists(STOP_FILE) else None

    read.__name__ = source.__name__
    agent.sensor(f".{source.__name__}", every=len(SOURCES) / RATE, unit=unit)(read)
