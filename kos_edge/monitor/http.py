"""A small HTTP/1.1 server for reading: GET and HEAD of a few paths, parsed by h11 (RFC 9112), everything bounded.

It asks for a Host that is an address or a name that it was told: a page in somebody's browser, whose name was made to
point here, reads nothing (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import h11

from kos_edge.errors import Invalid, KosError, Unavailable

MAX_CONNECTIONS = 16
MAX_HEAD = 8_192
"""Bytes of a request's line and headers."""
REQUEST_WITHIN_S = 10.0
"""For a request to come whole, and for an answer to be taken."""
KEEP_S = 75.0
"""How long a connection may stay between two requests: a scrape comes every 15 to 60 s."""

_NAMES = frozenset({"localhost"})
_READ = 4_096
_MAX_PARAMETERS = 16
_STATUS: dict[type[KosError], int] = {Invalid: 400, Unavailable: 503}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked of a page: the parameters after the question mark, each once, and the headers in small letters."""

    parameters: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its `body` whole, or a `stream` of parts that is read as the other side takes them."""

    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: AsyncGenerator[bytes, None] | None = None


Page = Callable[[Question], Awaitable[Reply]]


class HttpServer:
    """Answers GET of the paths in `pages`. `counters` say how requests ended, by status."""

    def __init__(self, pages: Mapping[str, Page], *, names: frozenset[str] = frozenset()) -> None:
        self._pages = pages
        self._names = names | _NAMES
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.counters: dict[int, int] = {}

    async def start(self, host: str, port: int) -> int:
        """Listen; the port. Raises Unavailable."""
        try:
            self._server = await asyncio.start_server(self._accept, host, port, limit=MAX_HEAD)
        except OSError as error:
            why = error.strerror or str(error)
            raise Unavailable(
                f"cannot listen at {host}:{port} for HTTP: {why}", hint="[monitor] listen"
            ) from None
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and end what is open."""
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError, h11.RemoteProtocolError) as error:
            log.debug("an HTTP connection ended: %s", error)
        except asyncio.CancelledError:
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        wait = REQUEST_WITHIN_S
        while True:
            try:
                request = await self._request(connection, reader, wait)
            except h11.RemoteProtocolError as error:
                await self._refuse(connection, writer, error)
                return
            if request is None:
                return
            reply = await self._answer(request)
            await self._send(connection, writer, reply, head=request.method == b"HEAD")
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()
            wait = KEEP_S

    async def _request(
        self, connection: h11.Connection, reader: asyncio.StreamReader, wait: float
    ) -> h11.Request | None:
        """The next request, without a body; None where the other side has hung up."""
        request: h11.Request | None = None
        async with asyncio.timeout(wait):
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await reader.read(_READ))
                elif isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.Data):
                    raise h11.RemoteProtocolError("a request has no body here", error_status_hint=413)
                elif isinstance(event, h11.EndOfMessage):
                    return request
                else:  # ConnectionClosed, PAUSED
                    return None

    async def _answer(self, request: h11.Request) -> Reply:
        headers = dict(request.headers)
        if request.method not in (b"GET", b"HEAD"):
            return Reply(b"only GET is answered here\n", status=405, headers={"Allow": "GET, HEAD"})
        if not self._is_meant(headers.get(b"host", b"").decode("latin-1")):
            return Reply(b"this is not the host that you asked for\n", status=421)
        path, _, query = request.target.decode("latin-1").partition("?")
        page = self._pages.get(path)
        if page is None:
            known = ", ".join(self._pages)
            return Reply(f"there is {known}\n".encode(), status=404)
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
        try:
            return await page(Question(_parameters(query), named))
        except KosError as error:
            hint = f" ({error.hint})" if error.hint else ""
            return Reply(f"{error.message}{hint}\n".encode(), status=_STATUS.get(type(error), 503))

    def _is_meant(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(name.strip("[]"))
            return True
        return name.lower() in self._names

    async def _refuse(
        self, connection: h11.Connection, writer: asyncio.StreamWriter, error: h11.RemoteProtocolError
    ) -> None:
        if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            reply = Reply(b"this is no request that can be answered\n", status=error.error_status_hint)
            await self._send(connection, writer, reply, head=False, last=True)

    async def _send(
        self,
        connection: h11.Connection,
        writer: asyncio.StreamWriter,
        reply: Reply,
        *,
        head: bool,
        last: bool = False,
    ) -> None:
        self.counters[reply.status] = self.counters.get(reply.status, 0) + 1
        length = {} if reply.stream is not None else {"Content-Length": str(len(reply.body))}
        headers = {
            "Content-Type": reply.content_type,
            **length,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **reply.headers,
            **({"Connection": "close"} if last else {}),
        }
        head_of = h11.Response(status_code=reply.status, headers=list(headers.items()))
        data = connection.send(head_of) or b""
        if reply.stream is not None:
            async with aclosing(reply.stream) as parts:
                await self._write(writer, data)
                if not head:
                    async for part in parts:
                        await self._write(writer, connection.send(h11.Data(data=part)) or b"")
            data = b""
        elif not head:
            data += connection.send(h11.Data(data=reply.body)) or b""
        await self._write(writer, data + (connection.send(h11.EndOfMessage()) or b""))

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Hand it to the connection; whoever does not read it for long is left."""
        writer.write(data)
        async with asyncio.timeout(REQUEST_WITHIN_S):
            await writer.drain()


def _parameters(query: str) -> dict[str, str]:
    """The parameters, decoded. Raises Invalid where one comes twice, or there are too many."""
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=_MAX_PARAMETERS
        )
    except ValueError:
        raise Invalid("the parameters cannot be read: NAME=VALUE&NAME=VALUE") from None
    if len(dict(pairs)) < len(pairs):
        raise Invalid("a parameter stands there twice")
    return dict(pairs)
