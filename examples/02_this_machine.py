"""This machine's own sensors, each in its unit; what a machine does not have is left out.

KOS_EDGE_RATE is the number of readings a second from all of them together, 0.5 unless said otherwise.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from kos_edge import Agent

agent = Agent("machine")


def temperature() -> dict[str, float | None]:
    files = [*Path("/sys/class/thermal").glob("*/temp"), *Path("/sys/class/hwmon").glob("*/temp*_input")]
    return {f"{file.parent.name}/{file.name}": thousandth(file) for file in files}


def load() -> dict[str, float]:
    return dict(zip(("1min", "5min", "15min"), os.getloadavg(), strict=True))


def memory() -> dict[str, int]:
    lines = [line.replace(":", "").split() for line in Path("/proc/meminfo").read_text().splitlines()]
    return {words[0]: int(words[1]) * 1024 for words in lines if words[0] in ("MemTotal", "MemAvailable")}


def disk() -> dict[str, int]:
    mounts = [mount for mount in ("/", "/boot", "/home", "/var") if os.path.ismount(mount)]
    return {f"free{mount}": shutil.disk_usage(mount).free for mount in mounts}


def network() -> dict[str, int]:
    cards = [line.replace(":", " ").split() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    return {
        f"{card[0]}/{way}": int(card[column]) for card in cards for way, column in (("in", 1), ("out", 9))
    }


def thousandth(file: Path) -> float | None:
    try:
        return int(file.read_text()) / 1000
    except (OSError, ValueError):  # a sensor that is listed and not connected
        return None


units: Mapping[Callable[[], Mapping[str, float | None]], str]
units = {temperature: "Cel", load: "1", memory: "B", disk: "B", network: "B"}
found = [source for source in units if any(value is not None for value in source().values())]
for source in found:
    every = len(found) / float(os.environ.get("KOS_EDGE_RATE", "0.5"))
    agent.sensor(f".{source.__name__}", every=every, unit=units[source])(source)

agent.run()
