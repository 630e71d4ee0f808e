"""The real server and the real client over a real socket, before a small node."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from kos_edge.control.client import Client, NoDaemon
from kos_edge.control.protocol import VERBS, Operations
from kos_edge.control.reports import Json, PublishReport, QueueReport
from kos_edge.control.server import MAX_CLIENTS, MAX_REQUESTS, ControlServer
from kos_edge.control.wire import REQUEST_LIMIT
from kos_edge.errors import Invalid, Misuse, Refused, Unavailable, Unknown
from tests.control.node import SmallNode


@asynccontextmanager
async def served(path: Path, node: Operations, clients: int = MAX_CLIENTS) -> AsyncIterator[Client]:
    server = ControlServer(path, node, clients=clients)
    await server.start()
    try:
        yield Client(path)
    finally:
        await server.close()


@asynccontextmanager
async def plain(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 24)
    try:
        yield reader, writer
    finally:
        writer.close()


def test_a_client_has_every_verb_of_the_protocol() -> None:
    assert [name for name in VERBS if not hasattr(Client, name)] == []
    assert {name for name, verb in VERBS.items() if verb.streams} == {
        "tail",
        "export",
        "queue_dead",
        "queue_export",
        "queue_retry_all",
    }


async def test_an_answer_crosses_the_socket_as_it_was(tmp_path: Path) -> None:
    node = SmallNode()
    async with served(tmp_path / "control.sock", node) as client:
        assert await client.status() == await node.status()
        assert await client.peers() == await node.peers()
        assert [letter async for letter in client.queue_dead()] == [
            letter async for letter in node.queue_dead()
        ]


async def test_an_error_crosses_the_socket_with_its_kind_and_hint(tmp_path: Path) -> None:
    async with served(tmp_path / "control.sock", SmallNode()) as client:
        with pytest.raises(Refused, match="expired") as refused:
            await client.join(token="kos1-expired")
        assert refused.value.hint == "ask at the hub for another: kos-edge invite"
        with pytest.raises(Invalid, match="is no topic"):
            await client.publish(topic="a b", values=[1])
        with pytest.raises(Unavailable, match="busy"):
            await client.stop()


async def test_the_socket_is_for_owner_and_group_only(tmp_path: Path) -> None:
    async with served(tmp_path / "control.sock", SmallNode()):
        assert stat.S_IMODE((tmp_path / "control.sock").stat().st_mode) == 0o660


async def test_a_closed_server_leaves_no_socket_and_a_killed_ones_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_bytes(b"")
    async with served(path, SmallNode()) as client:
        await client.reach()
    assert not path.exists()
    with pytest.raises(NoDaemon, match="no daemon is running"):
        await client.reach()


async def test_a_state_directory_with_a_long_name_is_reached(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    async with served(deep / "control.sock", SmallNode()) as client:
        assert (await client.queue())["messages"] == 2


async def test_a_tail_gives_what_was_there_and_what_comes(tmp_path: Path) -> None:
    node = SmallNode()
    node.deliver("air.temperature", 20)
    async with (
        served(tmp_path / "control.sock", node) as client,
        aclosing(client.tail(from_start=True)) as messages,
    ):
        assert (await anext(messages))["body"] == 20
        node.deliver("air.temperature", 21)
        assert (await anext(messages))["body"] == 21


async def test_a_tail_ends_at_the_daemon_when_the_client_goes_away(tmp_path: Path) -> None:
    node = SmallNode()
    node.deliver("air.temperature", 20)
    async with served(tmp_path / "control.sock", node) as client:
        async with aclosing(client.tail(from_start=True)) as messages:
            await anext(messages)
            assert node.open_tails == 1
        while node.open_tails:
            node.arrived.clear()
            await node.arrived.wait()


async def test_a_cancelled_stream_ends_and_the_connection_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    node = SmallNode()
    node.deliver("air.temperature", 20)
    async with served(path, node), plain(path) as (reader, writer):
        writer.write(b'{"id":7,"verb":"tail","params":{"from_start":true}}\n')
        assert json.loads(await reader.readline())["item"]["body"] == 20
        writer.write(b'{"id":7,"cancel":true}\n')
        assert json.loads(await reader.readline()) == {"id": 7, "end": True}
        writer.write(b'{"id":8,"verb":"leave"}\n')
        assert json.loads(await reader.readline())["id"] == 8


async def test_a_reader_that_does_not_read_holds_up_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    node = SmallNode()
    for _ in range(200):
        node.deliver("air.note", "x" * 10_000)
    async with served(path, node) as client, plain(path) as (_, writer):
        writer.write(b'{"id":1,"verb":"export"}\n')
        await writer.drain()
        assert (await client.queue())["messages"] == 2


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{}", "a request is an object"),
        (b"[1]", "a request is an object"),
        (b"\xff", "not JSON"),
        (b'{"id":1,"verb":"status","params":[]}', "and nothing else"),
        (b'{"id":1,"verb":"status","more":1}', "and nothing else"),
        (b'{"id":1,"verb":"explode"}', "no verb 'explode'"),
        (b'{"id":1,"verb":"__init__"}', "no verb"),
        (b'{"id":1,"verb":"publish","params":{"values":[]}}', "needs the parameter 'topic'"),
        (b'{"id":1,"verb":"publish","params":{"topic":"a","values":3}}', "values must be a list"),
        (b'{"id":1,"verb":"invite","params":{"uses":true}}', "uses must be a whole number"),
        (b'{"id":1,"verb":"invite","params":{"seconds":"1"}}', "seconds must be a number or null"),
        (b'{"id":1,"verb":"invite","params":{"seconds":NaN}}', "not JSON"),
        (b'{"id":1,"verb":"status","params":{"x":1}}', "has no parameter 'x'; it has none"),
    ],
)
async def test_a_bad_request_is_told_and_the_next_one_answered(tmp_path: Path, line: bytes, why: str) -> None:
    path = tmp_path / "control.sock"
    async with served(path, SmallNode()), plain(path) as (reader, writer):
        writer.write(line + b'\n{"id":2,"verb":"leave"}\n')
        answers = [json.loads(await reader.readline()) for _ in range(2)]
        error = next(answer["error"] for answer in answers if "error" in answer)
        assert error["kind"] == "invalid"
        assert why in error["message"]
        assert any(answer["id"] == 2 and "result" in answer for answer in answers)


async def test_a_request_without_end_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with served(path, SmallNode()) as client, plain(path) as (reader, writer):
        writer.write(b"x" * (REQUEST_LIMIT + 1))
        assert "longer than" in json.loads(await reader.readline())["error"]["message"]
        assert await reader.read() == b""
        with pytest.raises(Invalid, match="bytes"):
            await client.publish(topic="a", values=["x" * REQUEST_LIMIT])


async def test_requests_and_clients_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with (
        served(path, SmallNode(), clients=2) as client,
        plain(path) as (reader, writer),
        plain(path) as (_, second),
    ):
        second.write(b'{"id":0,"verb":"tail"}\n')
        for number in range(MAX_REQUESTS + 1):
            writer.write(b'{"id":%d,"verb":"tail"}\n' % number)
        refused = json.loads(await reader.readline())
        assert refused["id"] == MAX_REQUESTS
        assert refused["error"]["kind"] == "unavailable"
        with pytest.raises(Unavailable, match="clients are connected"):
            await client.leave()


async def test_a_verb_that_answers_once_runs_to_its_end_without_its_client(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    begun, may_end, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class SlowNode(SmallNode):
        async def publish(
            self, *, topic: str, values: list[Json], unit: str | None = None, ttl_s: float | None = None
        ) -> PublishReport:
            begun.set()
            await may_end.wait()
            done.set()
            return {"ids": [], "failure": None}

    async with served(path, SlowNode()):
        async with plain(path) as (_, writer):
            writer.write(b'{"id":1,"verb":"publish","params":{"topic":"a","values":[1]}}\n')
            await begun.wait()
        may_end.set()
        await done.wait()


async def test_a_daemon_that_dies_in_an_answer_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    server = await asyncio.start_unix_server(hang_up, tmp_path / "control.sock")
    async with server:
        with pytest.raises(Unknown, match="went away"):
            await Client(tmp_path / "control.sock").publish(topic="a", values=[1])


async def test_a_bug_in_a_verb_is_an_answer_and_not_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class BrokenNode(SmallNode):
        async def queue(self) -> QueueReport:
            raise KeyError("lane")

    async with served(tmp_path / "control.sock", BrokenNode()) as client:
        with pytest.raises(Misuse, match="KeyError"):
            await client.queue()
        assert (await client.leave())["mesh"]
    assert "the verb queue failed" in caplog.text
