"""NATS JetStream: its settings, and what an application does with it through nats-py (file storage)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js import api as js_api

from benchmarks.brokers import programs
from benchmarks.brokers.server import Server
from kos_edge.testing.ports import free_port

SUBJECT = "readings"
STREAM = "readings"
"""The stream of the broker that takes messages in."""

JOURNAL = "journal"
"""The stream of a second broker that takes everything over from the first one."""

CONNECT_S = 5.0


class Gone(Exception):
    """Nobody answers, or not as it should."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a nats-server is set. `always`: it syncs every write, which only 2.10 and later know."""

    name: str
    says: str
    always: bool = False


AS_IT_COMES = Settings("jetstream", "file storage, synced every two minutes")
SYNCING = Settings("jetstream-always", "file storage, sync_interval always", always=True)


@dataclass(frozen=True, slots=True)
class Leaf:
    """The broker is a leaf of the one whose leaf port this is: its streams can be taken over there."""

    port: int


def server(
    folder: Path,
    settings: Settings = AS_IT_COMES,
    *,
    domain: str = "hub",
    leaf: Leaf | None = None,
    leaves: int | None = None,
) -> Server:
    """A broker that is not started yet, with its configuration written. `leaves`: the port where it takes leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    program = programs.nats_server_that_syncs() if settings.always else programs.nats_server()
    made = Server([str(program), "-c", str(folder / "nats.conf")], folder, free_port(), greets)
    store = [f'store_dir: "{made.state}"', f"domain: {domain}"]
    store += ["sync_interval: always"] if settings.always else []
    lines = [
        "host: 127.0.0.1",
        f"port: {made.port}",
        f"server_name: {domain}",
        f"jetstream {{ {', '.join(store)} }}",
    ]
    if leaf is not None:
        remote = f"remotes: [ {{ url: nats://127.0.0.1:{leaf.port} }} ]"
        lines.append(f"leafnodes {{ reconnect: 1, {remote} }}")
    if leaves is not None:
        lines.append(f"leafnodes {{ host: 127.0.0.1, port: {leaves} }}")
    (folder / "nats.conf").write_text("\n".join(lines) + "\n")
    return made


def greets(port: int) -> bool:
    """Whether a broker with JetStream says INFO there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as wire:
        wire.settimeout(2)
        said = wire.recv(4_096)
        return said.startswith(b"INFO ") and b'"jetstream":true' in said
    return False


@contextlib.asynccontextmanager
async def connected(port: int, gone: asyncio.Event | None = None) -> AsyncIterator[Client]:
    """A client, while it is connected; `gone` is set when it is no more. Raises Gone when nobody answers."""

    async def quiet(error: Exception) -> None:
        """What it complains of is seen by whoever waits for an answer."""

    async def lost() -> None:
        if gone is not None:
            gone.set()

    try:
        client = await nats.connect(
            f"nats://127.0.0.1:{port}", allow_reconnect=False, connect_timeout=CONNECT_S, error_cb=quiet,
            closed_cb=lost, disconnected_cb=lost,
        )  # fmt: skip
    except (OSError, nats.errors.Error) as error:
        raise Gone(str(error) or type(error).__name__) from None
    try:
        yield client
    except (OSError, TimeoutError, nats.errors.Error) as error:
        raise Gone(str(error) or type(error).__name__) from None
    finally:
        await client.close()


async def make_stream(port: int, name: str = STREAM) -> None:
    """Make the stream that messages are published to."""
    async with connected(port) as client:
        await client.jetstream().add_stream(name=name, subjects=[SUBJECT], storage=js_api.StorageType.FILE)


async def make_journal(port: int, domain: str) -> None:
    """Make a stream that takes everything over from the stream of a leaf."""
    async with connected(port) as client:
        source = js_api.StreamSource(name=STREAM, external=js_api.ExternalStream(api=f"$JS.{domain}.API"))
        await client.jetstream().add_stream(name=JOURNAL, sources=[source], storage=js_api.StorageType.FILE)


async def publish(port: int, named: Sequence[tuple[str, bytes]], within_s: float) -> tuple[int, str]:
    """Publish messages with their ids, by which it drops repetitions; how many from the first were acknowledged, and
    what it said of the one after them.
    """
    gone = asyncio.Event()
    async with connected(port, gone) as client:
        context = client.jetstream(publish_async_max_pending=max(1, len(named)))
        answers = [
            await context.publish_async(SUBJECT, body, headers={"Nats-Msg-Id": name}) for name, body in named
        ]
        over = [asyncio.ensure_future(gone.wait()), asyncio.ensure_future(asyncio.wait(answers))]
        await asyncio.wait(over, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for task in over:
            task.cancel()
        return _safe(answers)


def _safe(answers: Sequence[asyncio.Future[js_api.PubAck]]) -> tuple[int, str]:
    for number, answer in enumerate(answers):
        if not answer.done():
            answer.cancel()
            return number, "no answer"
        if (error := answer.exception()) is not None:
            return number, str(error)
    return len(answers), ""


async def held(port: int, stream: str) -> int:
    """How many messages a stream holds."""
    async with connected(port) as client:
        state = (await client.jetstream().stream_info(stream)).state
        return int(state.messages)


async def take(port: int, stream: str) -> list[bytes]:
    """Everything that a stream holds for an application, in order, each acknowledged after it was taken."""
    taken: list[bytes] = []
    async with connected(port) as client:
        context: JetStreamContext = client.jetstream()
        owed = int((await context.stream_info(stream)).state.messages)
        reader = await context.pull_subscribe("", durable="application", stream=stream)
        while len(taken) < owed:
            try:
                batch = await reader.fetch(min(100, owed - len(taken)), timeout=5)
            except TimeoutError:
                break
            for message in batch:
                taken.append(message.data)
                await message.ack_sync()
    return taken
