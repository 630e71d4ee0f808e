"""The server for watchers: what it answers, and what it does to those who ask wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kos_edge.errors import Unavailable
from kos_edge.monitor import http
from kos_edge.monitor.http import MAX_CONNECTIONS, MAX_HEAD, HttpServer, Question, Reply

GET = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9464\r\n\r\n"


async def figures(_: Question) -> Reply:
    return Reply(b"figure 1\n")


async def shut(_: Question) -> Reply:
    raise Unavailable("the disk is full")


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    server = HttpServer({"/metrics": figures, "/healthz": shut}, names=frozenset({"attic.local"}))
    port = await server.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        await server.close()


async def ask(port: int, data: bytes, *, end: bool = True) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    if end:
        writer.write_eof()
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def turned_away(port: int) -> bool:
    try:
        return await ask(port, GET) == b""
    except ConnectionError:
        return True


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_get_and_head_are_answered_and_a_connection_serves_several() -> None:
    async with serving() as port:
        answer = await ask(port, GET + GET.replace(b"GET", b"HEAD") + GET)
    assert answer.count(b"HTTP/1.1 200") == 3
    assert answer.count(b"figure 1\n") == 2
    assert b"Content-Length: 9" in answer
    assert b"nosniff" in answer


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (GET.replace(b"/metrics", b"/"), 404),
        (GET.replace(b"/metrics", b"/metrics?x=1"), 200),
        (GET.replace(b"/metrics", b"//evil/metrics"), 404),
        (GET.replace(b"GET", b"POST"), 405),
        (GET.replace(b"/metrics", b"/healthz"), 503),
        (GET.replace(b"127.0.0.1:9464", b"evil.example"), 421),
        (GET.replace(b"127.0.0.1:9464", b"attic.local:9464"), 200),
        (GET.replace(b"127.0.0.1:9464", b"LOCALHOST"), 200),
        (GET.replace(b"127.0.0.1:9464", b"[::1]:9464"), 200),
        (GET.replace(b"Host: 127.0.0.1:9464\r\n", b""), 400),
        (b"POST /metrics HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 4\r\n\r\nbody", 413),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (GET.replace(b"\r\n\r\n", b"\r\nX: " + bytes([97]) * 3 * MAX_HEAD + b"\r\n\r\n"), 431),
    ],
)
async def test_each_request_gets_its_status(data: bytes, code: int) -> None:
    async with serving() as port:
        assert status(await ask(port, data)) == code
        assert status(await ask(port, GET)) == 200


async def test_half_a_request_is_dropped_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REQUEST_WITHIN_S", 0.1)
    async with serving() as port:
        assert await ask(port, GET[:20], end=False) == b""
        assert status(await ask(port, GET[:20])) == 400


async def test_more_connections_than_there_is_room_for_are_turned_away_and_those_there_go_on() -> None:
    async with serving() as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
        await asyncio.sleep(0.05)
        assert await turned_away(port)
        reader, writer = held[0]
        writer.write(GET)
        assert status(await reader.readline()) == 200
        for _, writer in held:
            writer.close()


async def test_a_port_that_is_taken_is_said_with_the_setting() -> None:
    async with serving() as port:
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
            await HttpServer({}).start("127.0.0.1", port)
