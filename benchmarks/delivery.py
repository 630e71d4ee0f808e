"""Subjects: readings from a device to a hub, two processes, synced on both ends before they count."""

from __future__ import annotations

import contextlib
from typing import Any

from benchmarks.device import WARM_UP
from benchmarks.relays import udp
from benchmarks.rig import rig
from benchmarks.row import NotMeasured, Run

DATAGRAM_HEADERS = 28
"""Bytes of IPv4 and UDP around a datagram, which the relay does not see."""

SIGN_EACH = "[queue]\npack-messages = 1\n"
CRITICAL = '[topic."bench.critical"]\npriority = "critical"\n'


def tcp_packs(run: Run) -> float:
    """Readings a second in packs, over TCP: about 60 in each."""
    return _flood(run, run.size(200_000, 20_000))


def tcp_single(run: Run) -> float:
    """The same with one reading a pack: each has a signature of its own."""
    return _flood(run, run.size(30_000, 5_000), SIGN_EACH)


def _flood(run: Run, count: int, config: str = "") -> float:
    with rig(run, config) as parts:
        said = parts.ask("flood", str(count))
    if said["carriers"] != ["tcp"]:
        raise NotMeasured("the link never moved to TCP")
    run.notes.update(
        device_cpu_us=said["cpu_us"],
        hub_cpu_us=said["hub_cpu_s"] / (count + WARM_UP) * 1e6,
        accepted_per_s=said["accepted_per_s"],
    )
    return float(said["per_s"])


def udp_sustained(run: Run) -> float:
    """Readings a second over UDP, for 5 minutes: what the hub's memory has grown by is noted."""
    with rig(run) as parts:
        before = parts.ask("sustain", str(run.size(15, 3)), "--udp")
        said = parts.ask("sustain", str(run.size(300, 10)), "--udp")
    if said["carriers"] != ["udp"]:
        raise NotMeasured("the link was not UDP")
    run.notes.update(datagrams=2 * said["packs"], hub_grew_mb=said["hub_mb"] - before["hub_mb"])
    return float(said["per_s"])


def udp_lossless(run: Run) -> float:
    """Readings a second over UDP through a relay that takes 20 ms each way and loses nothing."""
    return _relayed(run, udp.Faults(delay=0.02))


def udp_lossy(run: Run) -> float:
    """The same where a tenth of the datagrams is lost, both ways."""
    return _relayed(run, udp.Faults(delay=0.02, loss=0.1))


def _relayed(run: Run, faults: udp.Faults) -> float:
    said = _through(run, faults, "flood", str(run.size(40_000, 5_000)), "--udp")
    run.notes.update(again=said["again"], packs=said["packs"])
    return float(said["per_s"])


def wire_bytes(run: Run) -> float:
    """Bytes on the wire for each of 200 readings a second, both ways, with the headers of IP and UDP."""
    said = _through(run, udp.Faults(), "pace", str(run.size(30, 8)))
    seen: udp.Carried = said["carried"]
    run.notes.update(datagrams=seen.datagrams / said["count"], payload=seen.bytes / said["count"])
    per_reading: float = (seen.bytes + DATAGRAM_HEADERS * seen.datagrams) / int(said["count"])
    return per_reading


def written_bytes(run: Run) -> float:
    """Bytes handed to write calls for each of 200 readings a second, on the side that writes more."""
    with rig(run) as parts:
        said = parts.ask("pace", str(run.size(60, 15)))
    hub = said["hub_written"] / said["count"]
    run.notes.update(device=said["written"], hub=hub)
    return float(max(said["written"], hub))


def critical(run: Run) -> float:
    """Milliseconds from publish to receipt of one critical reading, p50."""
    return _latency(run, ".critical", run.size(300, 60))


def ordinary(run: Run) -> float:
    """The same of a topic that nothing is said of."""
    return _latency(run, ".air", run.size(60, 20))


def _latency(run: Run, topic: str, count: int) -> float:
    with rig(run, CRITICAL) as parts:
        said = parts.ask("latency", topic, str(count))
    run.notes["p95_ms"] = said["p95"]
    return float(said["p50"])


def handshakes(run: Run) -> float:
    """Handshakes that the hub does in a second of its processor's time, each with a first request that is answered.

    One client asks for one after the other, so that the two take turns; how many there were by the clock is noted.
    """
    count = run.size(2_000, 300)
    with rig(run) as parts:
        said = parts.ask("shake", str(count))
    run.notes["by_the_clock"] = said["per_s"]
    return float(count / said["hub_cpu_s"])


def _through(run: Run, faults: udp.Faults, *work: str) -> dict[str, Any]:
    """One piece of work of a device whose datagrams go through a relay; with what that carried."""
    with contextlib.ExitStack() as stack:
        relays: list[udp.Running] = []

        def relay(port: int) -> int:
            relays.append(stack.enter_context(udp.relaying(port, faults, run.round)))
            return relays[0].port

        with rig(run, relay=relay) as parts:
            said = parts.ask(*work)
            stack.close()
    return said | {"carried": relays[0].carried}
