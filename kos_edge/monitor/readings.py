"""What this node has kept and what comes, over HTTP: for dashboards and scripts of the people at the hub.

docs/openapi.yaml describes it; a test holds the answers against that. Who asks shows a token.
"""

from __future__ import annotations

import asyncio
import csv
import hmac
import io
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from datetime import datetime

from kos_edge.control.protocol import Operations
from kos_edge.control.reports import Delivered
from kos_edge.control.text import COLUMNS, cells, json_line
from kos_edge.errors import Invalid
from kos_edge.monitor.http import Page, Question, Reply

MIN_TOKEN = 16
"""Characters: it can be tried at leisure."""
MAX_LIVE = 8
"""Live streams at a time; each holds a connection."""
ALIVE_S = 15.0
"""After which a silent live stream says that it is there, for proxies and for us: a reader that is gone is noticed."""

_PART = 16_384
"""Bytes of an answer that are put together before they leave."""


class Readings:
    """The pages `/readings` and `/readings/live`, for whoever shows `token`."""

    def __init__(self, operations: Operations, token: bytes) -> None:
        self._operations = operations
        self._token = token
        self._live = 0

    @property
    def pages(self) -> dict[str, Page]:
        """Each by its path."""
        return {"/readings": self.kept, "/readings/live": self.live}

    async def kept(self, question: Question) -> Reply:
        """Messages in the journal, the oldest first."""
        if (refusal := self._refusal(question)) is not None:
            return refusal
        given = _known(question.parameters, "topic", "source", "since", "until", "format", "limit")
        form = given.get("format", "json")
        if form not in ("json", "csv"):
            raise Invalid(f"format={form[:20]} is neither json nor csv")
        messages = self._chosen(
            self._operations.export(
                topic=given.get("topic", "#"), since=_time(given, "since"), until=_time(given, "until")
            ),
            _source(given),
            _limit(given),
        )
        first = await _begun(messages)
        if form == "csv":
            return Reply(
                stream=_gathered(_csv(first)), content_type="text/csv; charset=utf-8; header=present"
            )
        return Reply(stream=_gathered(_json(first)), content_type="application/json")

    async def live(self, question: Question) -> Reply:
        """Messages as they come, as server-sent events: `id` and `data` of each, its JSON."""
        if (refusal := self._refusal(question)) is not None:
            return refusal
        given = _known(question.parameters, "topic", "source")
        if self._live >= MAX_LIVE:
            return Reply(b"as many live streams as can be served are open\n", status=503)
        messages = self._chosen(self._operations.tail(filter=given.get("topic", "#")), _source(given), None)
        return Reply(stream=self._events(messages), content_type="text/event-stream")

    def _refusal(self, question: Question) -> Reply | None:
        """What whoever shows no token, or another one, is told."""
        scheme, _, shown = question.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(shown.strip().encode("latin-1", "replace"), self._token)
        if scheme.lower() == "bearer" and right:
            return None
        return Reply(
            b"show the token: Authorization: Bearer TOKEN\n",
            status=401,
            headers={"WWW-Authenticate": 'Bearer realm="kos-edge"'},
        )

    async def _chosen(
        self,
        messages: AsyncGenerator[Delivered, None],
        is_source: Callable[[Delivered], bool],
        limit: int | None,
    ) -> AsyncGenerator[Delivered, None]:
        count = 0
        async with aclosing(messages):
            async for message in messages:
                if is_source(message):
                    yield message
                    count += 1
                    if count == limit:
                        return

    async def _events(self, messages: AsyncGenerator[Delivered, None]) -> AsyncGenerator[bytes, None]:
        self._live += 1
        coming: asyncio.Future[Delivered] | None = None
        try:
            yield b": these are the messages as they come\n\n"
            while True:
                coming = coming or asyncio.ensure_future(anext(messages))
                done, _ = await asyncio.wait([coming], timeout=ALIVE_S)
                if not done:
                    yield b": still here\n\n"
                    continue
                message, coming = coming.result(), None
                yield f"id: {message['id']}\ndata: {json_line(message)}\n\n".encode()
        finally:
            self._live -= 1
            if coming is not None:
                coming.cancel()
                await asyncio.wait([coming])
            await messages.aclose()


async def _begun(messages: AsyncGenerator[Delivered, None]) -> AsyncGenerator[Delivered, None]:
    """The same, its first one read: what is wrong with the question is known before the answer has begun."""
    try:
        first: Delivered | None = await anext(messages)
    except StopAsyncIteration:
        first = None

    async def again() -> AsyncGenerator[Delivered, None]:
        async with aclosing(messages):
            if first is not None:
                yield first
            async for message in messages:
                yield message

    return again()


async def _json(messages: AsyncGenerator[Delivered, None]) -> AsyncGenerator[bytes, None]:
    opening = "["
    async with aclosing(messages):
        async for message in messages:
            yield f"{opening}\n{json_line(message)}".encode()
            opening = ","
    yield b"[]\n" if opening == "[" else b"\n]\n"


async def _csv(messages: AsyncGenerator[Delivered, None]) -> AsyncGenerator[bytes, None]:
    yield _csv_row(COLUMNS)
    async with aclosing(messages):
        async for message in messages:
            yield _csv_row(cells(message))


def _csv_row(row: tuple[str, ...] | list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(row)
    return text.getvalue().encode()


async def _gathered(parts: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same in larger parts."""
    waiting = bytearray()
    async with aclosing(parts):
        async for part in parts:
            waiting += part
            if len(waiting) >= _PART:
                yield bytes(waiting)
                waiting.clear()
    if waiting:
        yield bytes(waiting)


def _known(parameters: Mapping[str, str], *names: str) -> Mapping[str, str]:
    unknown = sorted(set(parameters) - set(names))
    if unknown:
        raise Invalid(f"there is no parameter {unknown[0][:40]!r}; there are {', '.join(names)}")
    return parameters


def _source(given: Mapping[str, str]) -> Callable[[Delivered], bool]:
    wanted = given.get("source")
    return lambda message: wanted in (None, message["name"], message["source"])


def _time(given: Mapping[str, str], name: str) -> float | None:
    text = given.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Invalid(f"{name}={text[:40]} is no time as 2026-01-31T12:00:00Z (RFC 3339)")
    return moment.timestamp()


def _limit(given: Mapping[str, str]) -> int | None:
    text = given.get("limit")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not int(text[:9]) >= 1 or len(text) > 9:
        raise Invalid(f"limit={text[:40]} is no number from 1 to 999999999")
    return int(text)
