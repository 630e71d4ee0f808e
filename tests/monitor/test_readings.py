"""Messages over HTTP: as docs/openapi.json says, and for nobody without the token."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import validate

from kos_edge.control.text import COLUMNS
from kos_edge.errors import Invalid, Refused, Unavailable
from kos_edge.monitor import readings
from kos_edge.monitor.http import HttpServer
from kos_edge.monitor.readings import MAX_LIVE, Readings
from kos_edge.node.monitoring import _token
from tests.control.node import SmallNode

API: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
TOKEN = "0123456789abcdef"


@asynccontextmanager
async def serving(node: SmallNode) -> AsyncIterator[int]:
    server = HttpServer(Readings(node, TOKEN.encode()).pages)
    try:
        yield await server.start("127.0.0.1", 0)
    finally:
        await server.close()


def filled(count: int = 3) -> SmallNode:
    node = SmallNode()
    for number in range(count):
        node.deliver("air.temperature", number)
    node.deliver("door", "open, wide")
    return node


async def connect(
    port: int, target: str, *headers: str, token: str = TOKEN
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    shown = [f"Authorization: Bearer {token}"] if token else []
    lines = [f"GET {target} HTTP/1.1", "Host: localhost", *shown, *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    return reader, writer


async def ask(port: int, target: str, *, token: str = TOKEN) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of one answer."""
    reader, writer = await connect(port, target, "Connection: close", token=token)
    async with asyncio.timeout(10):
        data = await reader.read()
    writer.close()
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
    if headers.get("transfer-encoding") == "chunked":
        body = unchunked(body)
    return int(first.split()[1]), headers, body.decode()


def unchunked(data: bytes) -> bytes:
    whole = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        if not int(size, 16):
            return whole
        whole, data = whole + data[: int(size, 16)], data[int(size, 16) + 2 :]


def fits(value: Any, schema: dict[str, Any]) -> None:
    document = {**schema, "components": API["components"]}
    Draft202012Validator(document, format_checker=FormatChecker()).validate(value)


def test_the_description_is_one_of_openapi() -> None:
    validate(API)


async def test_what_is_kept_comes_as_the_description_says() -> None:
    schema = API["paths"]["/readings"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    async with serving(filled()) as port:
        status, headers, body = await ask(port, "/readings")
        assert (status, headers["content-type"]) == (200, "application/json")
        fits(json.loads(body), schema)
        assert [each["body"] for each in json.loads(body)] == [0, 1, 2, "open, wide"]
        _, _, some = await ask(port, "/readings?limit=2")
        assert [each["body"] for each in json.loads(some)] == [0, 1]
        assert json.loads((await ask(port, "/readings?source=nobody"))[2]) == []
    async with serving(SmallNode()) as port:
        assert (await ask(port, "/readings"))[2] == "[]\n"


async def test_csv_has_the_columns_of_export() -> None:
    async with serving(filled()) as port:
        status, headers, body = await ask(port, "/readings?format=csv")
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/csv")
    rows = list(csv.reader(io.StringIO(body)))
    assert tuple(rows[0]) == COLUMNS
    assert [row[COLUMNS.index("body")] for row in rows[1:]] == ["0", "1", "2", "open, wide"]


async def test_many_messages_pass_through_in_parts() -> None:
    async with serving(filled(5_000)) as port:
        _, headers, body = await ask(port, "/readings?limit=5000")
    assert headers["transfer-encoding"] == "chunked"
    assert len(json.loads(body)) == 5_000


@pytest.mark.parametrize("token", ["", "0123456789abcdeX", "0123456789abcde", "x" * 4_000])
async def test_nobody_reads_without_the_token(token: str) -> None:
    async with serving(filled()) as port:
        for target in ("/readings", "/readings/live"):
            status, headers, body = await ask(port, target, token=token)
            assert (status, "air" in body) == (401, False)
            assert headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("since=yesterday", "since"),
        ("since=2026-01-31T12:00:00", "RFC 3339"),
        ("until=2026-13-31T12:00:00Z", "until"),
        ("format=xml", "xml"),
        ("limit=0", "limit"),
        ("limit=1e9", "limit"),
        ("limit=%D9%A1", "limit"),
        ("colour=red", "colour"),
        ("limit=1&limit=2", "twice"),
        ("limit", "NAME=VALUE"),
        ("&".join(f"a{n}=1" for n in range(40)), "NAME=VALUE"),
    ],
)
async def test_a_wrong_parameter_is_named(query: str, named: str) -> None:
    async with serving(filled()) as port:
        status, _, body = await ask(port, f"/readings?{query}")
        assert (status, len(body.splitlines())) == (400, 1)
        assert named in body
        assert (await ask(port, "/readings"))[0] == 200


async def events(reader: asyncio.StreamReader, count: int) -> list[dict[str, str]]:
    """So many server-sent events."""
    found: list[dict[str, str]] = []
    event: dict[str, str] = {}
    async with asyncio.timeout(10):
        while len(found) < count:
            line = (await reader.readline()).decode().rstrip("\r\n")
            name, _, value = line.partition(": ")
            if name in ("id", "data"):
                event[name] = value
            elif not line and len(event) == 2:
                found.append(event)
                event = {}
    return found


async def test_what_comes_is_told_at_once_and_a_stream_that_is_left_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readings, "ALIVE_S", 0.05)
    node = SmallNode()
    async with serving(node) as port:
        reader, writer = await connect(port, "/readings/live")
        async with asyncio.timeout(10):
            await reader.readuntil(b"still here")
        node.deliver("air.temperature", 21.5)
        (event,) = await events(reader, 1)
        message = json.loads(event["data"])
        fits(message, API["components"]["schemas"]["Message"])
        assert (message["body"], message["id"]) == (21.5, event["id"])
        writer.transport.abort()
        async with asyncio.timeout(10):
            while node.open_tails:  # noqa: ASYNC110 - the small node tells nobody
                await asyncio.sleep(0.01)


async def test_live_streams_have_a_bound_and_do_not_keep_others_out() -> None:
    async with serving(filled()) as port:
        held = [await connect(port, "/readings/live") for _ in range(MAX_LIVE)]
        for reader, _ in held:
            await reader.readuntil(b"\r\n\r\n")
        assert (await ask(port, "/readings/live"))[0] == 503
        assert (await ask(port, "/readings"))[0] == 200
        for _, writer in held:
            writer.transport.abort()


def test_a_token_is_long_enough_and_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "http.token"
    with pytest.raises(Unavailable, match="there is no"):
        _token(file)
    file.write_text("short\n")
    file.chmod(0o600)
    with pytest.raises(Invalid, match="5 characters"):
        _token(file)
    file.write_text(f" {TOKEN} \nnote\n")
    assert _token(file) == TOKEN.encode()
    file.chmod(0o644)
    with pytest.raises(Refused, match="others may read"):
        _token(file)
