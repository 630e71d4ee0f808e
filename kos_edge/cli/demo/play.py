"""The play: what happens when, and what is said of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kos_edge.cli.demo.ledger import Ledger, compare
from kos_edge.cli.demo.screen import Screen
from kos_edge.cli.demo.stage import Stage
from kos_edge.control.client import Client
from kos_edge.delivery.latency import Latency
from kos_edge.errors import KosError, Unavailable

HUB, EDGES = "hub", ("north", "south")
NODES = (HUB, *EDGES)
RATE = 100  # readings a second of each edge
LOOK_EVERY_S = 0.25
OUTAGE_S = 10.0
CALM_S = 7.0  # before, between and after the blows, when nothing else is said
SHORTEST_S = 30.0
START_WITHIN_S = 20.0
DRAIN_WITHIN_S = 15.0
AGENT = Path(__file__).with_name("readings.py")


@dataclass
class Record:
    """What the nodes said of themselves, last word of each process, so that it outlives a kill."""

    words: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    now: dict[str, dict[str, Any]] = field(default_factory=dict)

    def hear(self, node: str, status: dict[str, Any] | None) -> None:
        """The node's status, None when nobody answers."""
        if status is None:
            self.now.pop(node, None)
        else:
            self.now[node] = status
            self.words[node, status["pid"]] = status["traffic"]

    def total(self, node: str, what: str) -> int:
        """A count of a node over all its processes."""
        return sum(int(traffic[what]) for (name, _), traffic in self.words.items() if name == node)

    def latency(self) -> Latency:
        """From publish to final receipt, over all edges and processes."""
        merged = Latency()
        for (name, _), traffic in self.words.items():
            if name in EDGES:
                merged.merge(traffic["latency_buckets"])
        return merged


def play(json_output: bool, seconds: float | None) -> int:
    """The whole demonstration; the exit code."""
    if seconds is not None and seconds < SHORTEST_S:
        raise Unavailable(f"it takes {SHORTEST_S:.0f} seconds at least", hint="kos-edge demo --seconds 45")
    calm = CALM_S if seconds is None else max(2.0, (seconds - OUTAGE_S - 10.0) / 3)
    with scratch() as folder:
        stage = Stage(folder, NODES)
        screen = Screen(quiet=json_output)
        try:
            record = asyncio.run(_play(stage, screen, calm))
            wire = stage.network.wire_bytes()
            stage.stop()
            ledger = compare([stage.state(edge) for edge in EDGES], stage.state(HUB))
        except BaseException:
            screen.close()
            _show_logs(folder)
            raise
        finally:
            screen.close()
            stage.close()
    return _conclude(json_output, ledger, record, wire)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder of the demonstration's own, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="kos-edge-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _play(stage: Stage, screen: Screen, calm: float) -> Record:
    record = Record()
    began = time.monotonic()
    enough = stage.folder / "enough"
    environment = {"KOS_EDGE_RATE": str(RATE), "KOS_EDGE_STOP_FILE": str(enough)}
    screen.say(f"a hub and two edge nodes as real processes, on {stage.network.describe}")
    await _run(stage.command, HUB, "init", "--role", "hub", "--name", HUB)
    stage.start(HUB, None)
    await asyncio.gather(
        *(_run(stage.command, edge, "init", "--role", "edge", "--name", edge) for edge in EDGES)
    )
    await _until(lambda: _is_up(stage, HUB), START_WITHIN_S, "the hub did not start")
    token = (await _run(stage.command, HUB, "invite", "--uses", "2"))["token"]
    screen.say("the hub has made a mesh and an invitation for two")
    joined = await asyncio.gather(*(_run(stage.command, edge, "join", str(token)) for edge in EDGES))
    screen.say(
        f"{' and '.join(str(each['name']) for each in joined)} have joined with it: EDHOC, both sides signed"
    )
    for edge in EDGES:
        stage.start(edge, AGENT, **environment)
    watching = asyncio.create_task(_watch(stage, screen, record))
    try:
        await _until(lambda: _all_connected(record), START_WITHIN_S, "the edges did not find the hub by mDNS")
        screen.say(f"found by mDNS and connected; {2 * RATE} real readings a second now travel over OSCORE")
        await asyncio.sleep(calm)

        stage.network.cut()
        screen.blow(f"cut: {stage.network.cut_says}, for {OUTAGE_S:.0f} seconds")
        await asyncio.sleep(OUTAGE_S / 2)
        stage.kill(EDGES[1])
        screen.blow(
            f"kill -9: {EDGES[1]}, in the middle of the outage, with its backlog; it is started again"
        )
        stage.start(EDGES[1], AGENT, **environment)
        await asyncio.sleep(OUTAGE_S / 2)
        stage.network.heal()
        screen.say("the link is back; backlogs drain")
        await asyncio.sleep(calm)

        stage.kill(HUB)
        screen.blow("kill -9: the hub, under load; it is started again")
        stage.start(HUB, None)
        await asyncio.sleep(calm)
        enough.touch()

        screen.say("no more readings; what is on the way arrives")
        await _until(lambda: _drained(record), DRAIN_WITHIN_S, "the queues did not drain")
        await asyncio.sleep(2 * LOOK_EVERY_S)
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    screen.say(f"done after {time.monotonic() - began:.0f} seconds")
    return record


async def _run(command: Any, *words: Any) -> dict[str, Any]:
    return await asyncio.to_thread(command, *words)


async def _until(holds: Any, seconds: float, complaint: str) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise Unavailable(complaint)
        await asyncio.sleep(LOOK_EVERY_S / 2)


def _is_up(stage: Stage, node: str) -> bool:
    process = stage.processes[node]
    if process.poll() is not None:
        raise Unavailable(f"the {node}'s daemon ended at once")
    return (stage.state(node) / "control.sock").exists()


async def _watch(stage: Stage, screen: Screen, record: Record) -> None:
    """Ask every node how it is, all the time."""
    clients = {node: Client(stage.state(node) / "control.sock") for node in NODES}

    async def ask(node: str) -> None:
        try:
            async with asyncio.timeout(1.0):
                record.hear(node, dict(await clients[node].status()))
        except (KosError, OSError, TimeoutError):
            record.hear(node, None)

    while True:
        await asyncio.gather(*(ask(node) for node in NODES))
        screen.show(record, NODES)
        await asyncio.sleep(LOOK_EVERY_S)


def _all_connected(record: Record) -> bool:
    return all(edge in record.now and record.now[edge]["peers_connected"] for edge in EDGES)


def _drained(record: Record) -> bool:
    return all(edge in record.now and not record.now[edge]["queue"]["messages"] for edge in EDGES)


def _conclude(json_output: bool, ledger: Ledger, record: Record, wire: int | None) -> int:
    latency = record.latency()
    handshakes = sum(record.total(node, "handshakes") for node in EDGES)
    per_reading = None if wire is None or not ledger.delivered else wire / ledger.delivered
    good = not (ledger.lost or ledger.twice or ledger.out_of_order or ledger.altered or ledger.unaccounted)
    good = good and ledger.accepted > 0
    p50, p99 = latency.percentile(0.5), latency.percentile(0.99)
    if json_output:
        report = asdict(ledger) | {
            "handshakes": handshakes,
            "wire_bytes_per_reading": None if per_reading is None else round(per_reading, 1),
            "p50_s": p50,
            "p99_s": p99,
        }
        print(json.dumps(report), flush=True)
        return 0 if good else 1
    lines = [
        ("accepted", f"{ledger.accepted:,} readings, each synced at its edge before it counted"),
        ("delivered", f"{ledger.delivered:,}, each synced at the hub before its receipt"),
        ("out of order", f"{ledger.out_of_order}, within each source's stream"),
        ("altered", f"{ledger.altered}, compared byte by byte"),
        ("handshakes", f"{handshakes}"),
        (
            "on the wire",
            "not counted on loopback"
            if per_reading is None
            else f"{per_reading:.0f} bytes a reading, all traffic of the hub's link",
        ),
        ("to receipt", f"p50 {_time(p50)}, p99 {_time(p99)}: the outage is in it"),
    ]
    print()
    for name, text in lines:
        print(f"  {name:<13} {text}")
    if ledger.dropped:
        print(f"  dropped       {ledger.dropped:,}, each with a signed tombstone")
    if ledger.unaccounted:
        print(f"  unaccounted   {ledger.unaccounted} at the hub that no edge remembers")
    print(f"\n{ledger.lost} lost, {ledger.twice} twice", flush=True)
    return 0 if good else 1


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _show_logs(folder: Path) -> None:
    """The last words of each daemon, for whoever has to find out why."""
    for file in sorted(folder.glob("*.log")):
        lines = file.read_text(errors="replace").splitlines()[-8:]
        print(f"--- {file.stem}", *lines, sep="\n", file=sys.stderr)
