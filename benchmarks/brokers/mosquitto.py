"""mosquitto: its settings, and what an application does with it through paho-mqtt (MQTT 3.1.1, QoS 1)."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.brokers import programs
from benchmarks.brokers.server import Server
from kos_edge.testing.ports import free_port

TOPIC = "readings"
APPLICATION = "application"
"""The client id of whoever reads: its session is kept while it is away."""

BRIDGE = "bridge"
"""The client id of a bridge at the broker that it leads to."""

IN_FLIGHT = 20
"""Messages without an answer at a time: paho's default and mosquitto's (`max_inflight_messages`)."""

CONNECT_S = 5.0
_KEEP_ALIVE_S = 60


@dataclass(frozen=True, slots=True)
class Settings:
    """How a mosquitto is set, beside persistence, which always is."""

    name: str
    says: str
    lines: tuple[str, ...] = ()


AS_IT_COMES = Settings("mosquitto", "persistence, saved every 30 min, at most 1,000 messages queued")
UNBOUNDED = Settings(
    "mosquitto-unbounded", "the same, with no limit to its queue", ("max_queued_messages 0",)
)
SAVING = Settings(
    "mosquitto-autosave",
    "persistence, saved at every change, no limit to its queue",
    ("autosave_on_changes true", "autosave_interval 1", "max_queued_messages 0"),
)


@dataclass(frozen=True, slots=True)
class Bridge:
    """Sends on what is published to the broker at a port of loopback, QoS 1, its session kept while that is away."""

    port: int

    @property
    def lines(self) -> tuple[str, ...]:
        return (
            "connection up",
            f"address 127.0.0.1:{self.port}",
            f"topic {TOPIC} out 1",
            "cleansession false",
            "notifications false",
            "restart_timeout 1",
            f"remote_clientid {BRIDGE}",
        )


def server(folder: Path, settings: Settings = AS_IT_COMES, bridge: Bridge | None = None) -> Server:
    """A broker that is not started yet, with its configuration written."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Server(
        [str(programs.mosquitto()), "-c", str(folder / "mosquitto.conf")], folder, free_port(), greets
    )
    lines = [
        f"listener {made.port} 127.0.0.1",
        "allow_anonymous true",
        "user root",  # as root it would else become a user who may not write here
        "persistence true",
        f"persistence_location {made.state}/",
        "log_dest stderr",
        *settings.lines,
        *(bridge.lines if bridge else ()),
    ]
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    return made


def greets(port: int) -> bool:
    """Whether a broker answers a CONNECT there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as wire:
        wire.settimeout(2)
        wire.sendall(b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02up")
        return wire.recv(4) == b"\x20\x02\x00\x00"
    return False


def _client(name: str, *, clean: bool, stays: bool = False) -> mqtt.Client:
    """`stays`: it comes back by itself when the broker does."""
    return mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean, manual_ack=not stays,
        reconnect_on_failure=stays,
    )  # fmt: skip


@contextlib.contextmanager
def _connected(
    port: int, name: str, *, clean: bool = True, in_flight: int = IN_FLIGHT
) -> Iterator[mqtt.Client]:
    client = _client(name, clean=clean)
    client.max_inflight_messages_set(in_flight)
    there = threading.Event()
    client.on_connect = lambda *_: there.set()
    client.connect("127.0.0.1", port, _KEEP_ALIVE_S)
    client.loop_start()
    try:
        if not there.wait(CONNECT_S):
            raise OSError("the broker does not answer")
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


class Publisher:
    """Publishes at QoS 1 and counts what the broker has acknowledged (PUBACK)."""

    def __init__(self, client: mqtt.Client) -> None:
        self._client = client
        self._answered = threading.Condition()
        self._acknowledged: set[int] = set()
        client.on_publish = self._heard
        client.on_disconnect = self._lost

    @classmethod
    @contextlib.contextmanager
    def connected(cls, port: int, in_flight: int = IN_FLIGHT) -> Iterator[Publisher]:
        """While it is connected. Raises OSError where nobody answers."""
        with _connected(port, "publisher", in_flight=in_flight) as client:
            yield cls(client)

    def publish(self, bodies: Sequence[bytes], within_s: float) -> int:
        """Publish, and wait for the answers; how many of them, from the first, are acknowledged."""
        numbers = [self._client.publish(TOPIC, body, qos=1).mid for body in bodies]
        end = time.monotonic() + within_s
        with self._answered:
            while not self._acknowledged.issuperset(numbers) and self._client.is_connected():
                if not self._answered.wait(end - time.monotonic()):
                    break
            safe = next((n for n, mid in enumerate(numbers) if mid not in self._acknowledged), len(numbers))
            self._acknowledged.difference_update(numbers)
        return safe

    def _heard(self, client: object, data: object, mid: int, *_: object) -> None:
        with self._answered:
            self._acknowledged.add(mid)
            self._answered.notify_all()

    def _lost(self, *_: object) -> None:
        with self._answered:
            self._answered.notify_all()


def flood(port: int, bodies: Sequence[bytes], in_flight: int, within_s: float) -> float:
    """Publish as fast as paho does; seconds until the last one is acknowledged."""
    with _connected(port, "publisher", in_flight=in_flight) as client:
        answers = itertools.count(1)
        done = threading.Event()
        count = len(bodies)

        def heard(*_: object) -> None:
            if next(answers) == count:
                done.set()

        client.on_publish = heard
        began = time.perf_counter()
        for body in bodies:
            client.publish(TOPIC, body, qos=1)
        if not done.wait(within_s):
            raise OSError(f"not all were acknowledged within {within_s:.0f} s")
        return time.perf_counter() - began


def subscribe(port: int) -> None:
    """Make the session of the application, which then goes away."""
    with _connected(port, APPLICATION, clean=False) as client:
        done = threading.Event()
        client.on_subscribe = lambda *_: done.set()
        client.subscribe(TOPIC, 1)
        if not done.wait(CONNECT_S):
            raise OSError("the broker does not answer a SUBSCRIBE")


def drain(port: int, quiet_s: float, taken: list[bytes] | None = None) -> list[bytes]:
    """Take what the application's session holds, until nothing has come for a while; each is taken, then acknowledged.

    What was taken before the broker went away is in `taken`, and nobody minds the rest.
    """
    taken = [] if taken is None else taken
    came = threading.Event()

    def take(client: mqtt.Client, data: object, message: mqtt.MQTTMessage) -> None:
        taken.append(bytes(message.payload))
        client.ack(message.mid, message.qos)
        came.set()

    client = _client(APPLICATION, clean=False)
    client.on_message = take
    client.connect("127.0.0.1", port, _KEEP_ALIVE_S)
    client.loop_start()
    try:
        while came.wait(quiet_s):
            came.clear()
    finally:
        client.disconnect()
        client.loop_stop()
    return taken


class Watcher:
    """Counts what comes to a broker, beside the application, and knows when nothing has come for a while."""

    def __init__(self, port: int) -> None:
        self.seen = 0
        self.last = time.monotonic()
        self._client = _client("watcher", clean=True, stays=True)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(TOPIC, 0)
        self._client.on_message = self._heard
        self._client.connect_async("127.0.0.1", port, _KEEP_ALIVE_S)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _heard(self, *_: object) -> None:
        self.seen += 1
        self.last = time.monotonic()
