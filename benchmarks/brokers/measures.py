"""Subjects of `make bench`: what the brokers of today do with the same readings, on the same machine.

Each is the publisher that people write, beside one broker on loopback; the bodies are made before the clock runs, which
ours are not. None of the brokers, set like this, syncs before it acknowledges.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import closing

from nats.js import JetStreamContext

from benchmarks.brokers import jetstream, mosquitto, programs
from benchmarks.brokers.server import running
from benchmarks.device import FIELDS, reading
from benchmarks.processes import cpu_s
from benchmarks.relays import tcp
from benchmarks.row import NotMeasured, Run
from kos_edge.klp import cbor, senml

PENDING = 256
"""Messages that nats-py has sent and not heard of."""

PATIENCE_S = 120.0
PACE = 200
"""Readings a second where bytes on the wire are counted."""

GROUP = 100

Flood = Callable[[JetStreamContext, list[bytes]], Awaitable[None]]


def bodies(count: int) -> list[bytes]:
    """The readings that ours are measured with, as they come: SenML in CBOR, about 45 bytes."""
    return [cbor.encode(senml.records(reading(number), fields=FIELDS)) for number in range(count)]


def jetstream_readings(run: Run) -> float:
    """Readings a second into a stream with file storage by `publish`, 256 at a time, each one's answer awaited."""
    return _streamed(run, run.size(15_000, 1_500), _publishing)


def jetstream_async_readings(run: Run) -> float:
    """The same by `publish_async`, 256 pending: the quickest way that nats-py knows."""
    return _streamed(run, run.size(60_000, 6_000), _publishing_async)


def _streamed(run: Run, count: int, flood: Flood) -> float:
    _ready()
    readings = bodies(count)
    with running(jetstream.server(run.folder)) as server:
        before = cpu_s(server.pid or 0)
        took = asyncio.run(_flooded(server.port, readings, flood))
        run.notes["broker_cpu_us"] = (cpu_s(server.pid or 0) - before) / count * 1e6
    return count / took


async def _flooded(port: int, readings: list[bytes], flood: Flood) -> float:
    await jetstream.make_stream(port)
    async with jetstream.connected(port) as client:
        context = client.jetstream(publish_async_max_pending=PENDING)
        began = time.perf_counter()
        async with asyncio.timeout(PATIENCE_S):
            await flood(context, readings)
        return time.perf_counter() - began


async def _publishing(context: JetStreamContext, readings: list[bytes]) -> None:
    left = iter(readings)

    async def worker() -> None:
        for body in left:
            await context.publish(jetstream.SUBJECT, body)

    async with asyncio.TaskGroup() as group:
        for _ in range(PENDING):
            group.create_task(worker())


async def _publishing_async(context: JetStreamContext, readings: list[bytes]) -> None:
    for body in readings:
        await context.publish_async(jetstream.SUBJECT, body)
    await context.publish_async_completed()


def mosquitto_readings(run: Run) -> float:
    """Readings a second through paho-mqtt, QoS 1, 20 in flight, for a session that keeps them."""
    return _published(run, run.size(30_000, 3_000), mosquitto.IN_FLIGHT)


def mosquitto_one_by_one(run: Run) -> float:
    """The same with one in flight."""
    return _published(run, run.size(10_000, 1_000), 1)


def _published(run: Run, count: int, in_flight: int) -> float:
    _ready()
    readings = bodies(count)
    with running(mosquitto.server(run.folder, mosquitto.UNBOUNDED)) as server:
        mosquitto.subscribe(server.port)
        before = cpu_s(server.pid or 0)
        took = mosquitto.flood(server.port, readings, in_flight, PATIENCE_S)
        run.notes["broker_cpu_us"] = (cpu_s(server.pid or 0) - before) / count * 1e6
    return count / took


def mosquitto_saved(run: Run) -> float:
    """Milliseconds from publish to PUBACK, p50, one reading at a time, where the broker saves every change.

    The broker acknowledges first and saves then, so that each but the first waits for the save before it. The session
    has 100 messages already: all that it holds is written anew at every change.
    """
    _ready()
    readings = bodies(run.size(300, 40))
    with running(mosquitto.server(run.folder, mosquitto.SAVING)) as server:
        mosquitto.subscribe(server.port)
        with mosquitto.Publisher.connected(server.port, 1) as publisher:
            publisher.publish(bodies(100), PATIENCE_S)
            took = [_once(publisher, body) for body in readings]
    run.notes["p95_ms"] = statistics.quantiles(took, n=20)[-1]
    return statistics.median(took)


def _once(publisher: mosquitto.Publisher, body: bytes) -> float:
    began = time.perf_counter()
    assert publisher.publish([body], PATIENCE_S) == 1
    return (time.perf_counter() - began) * 1e3


def mosquitto_bytes(run: Run) -> float:
    """Bytes on the wire for each reading, one every 5 ms, QoS 1, both ways, with the headers of IP and TCP."""
    _ready()
    readings = bodies(run.size(2_000, 200))
    with running(mosquitto.server(run.folder)) as server, tcp.relaying(server.port) as relay:
        with mosquitto.Publisher.connected(relay.port) as publisher:
            began = time.perf_counter()
            for number, body in enumerate(readings):
                time.sleep(max(0.0, began + number / PACE - time.perf_counter()))
                assert publisher.publish([body], PATIENCE_S) == 1
        relay.close()
        run.notes["payload"] = relay.traffic.payload / len(readings)
        run.notes["segments"] = relay.traffic.segments / len(readings)
        return relay.traffic.bytes / len(readings)


def sqlite_groups(run: Run) -> float:
    """Rows a second into one table of SQLite on this disk, a hundred a transaction, write-ahead log, synced each."""
    readings = bodies(run.size(30_000, 3_000))
    with closing(sqlite3.connect(run.folder / "plain.db", isolation_level=None)) as database:
        database.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
            "CREATE TABLE message (id INTEGER PRIMARY KEY, topic TEXT, body BLOB);"
        )
        began = time.perf_counter()
        for start in range(0, len(readings), GROUP):
            database.execute("BEGIN")
            rows = [("bench.air", body) for body in readings[start : start + GROUP]]
            database.executemany("INSERT INTO message (topic, body) VALUES (?, ?)", rows)
            database.execute("COMMIT")
        return len(readings) / (time.perf_counter() - began)


def _ready() -> None:
    try:
        programs.install()
    except programs.Missing as error:
        raise NotMeasured(str(error)) from None
