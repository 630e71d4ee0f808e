"""The daemon's end of the control socket.

Nobody on the socket can hold the daemon up: clients, requests a client and bytes a line are bounded, and an
answer that nobody reads waits in its own task. A client that goes away ends its streams; a verb that answers
once runs to its end, so that nothing is left half done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from pathlib import Path

from kos_edge.control.address import reachable_path
from kos_edge.control.arguments import checked
from kos_edge.control.protocol import VERBS, Operations, Verb
from kos_edge.control.reports import Json
from kos_edge.control.wire import REQUEST_LIMIT, Request, encode, failure, read_request
from kos_edge.errors import Invalid, KosError, Misuse, Unavailable
from kos_edge.said import Said

MAX_CLIENTS = 64
"""Connections at a time; each may hold one request line (1 MiB) in memory."""

MAX_REQUESTS = 16
"""Requests under way on one connection."""

SOCKET_MODE = 0o660
"""The owner and the group may ask; who may enter the state directory is the directory's business."""

CLOSING_GRACE_S = 2.0
"""Seconds that answers under way get to reach a client that reads slowly, when the connection ends."""

ACCEPT_AGAIN_S = 0.5
"""Seconds until the next try after accept failed, as it does where descriptors have run out: accept(2)."""

_log = logging.getLogger(__name__)


class ControlServer:
    """Serves `operations` at `path`, whose directory is locked by this process."""

    def __init__(self, path: Path, operations: Operations, *, clients: int = MAX_CLIENTS) -> None:
        self._path = path
        self._operations = operations
        self._clients = clients
        self._listener: socket.socket | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. A socket left behind by a killed daemon is replaced. Raises Unavailable."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._path.unlink(missing_ok=True)
            with reachable_path(self._path) as name:
                listener.bind(name)
            self._path.chmod(SOCKET_MODE)
            listener.listen(self._clients)
        except OSError as error:
            listener.close()
            raise Unavailable(f"cannot listen at {self._path}: {error.strerror or error}") from error
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    async def close(self) -> None:
        """Stop listening, end all streams, let verbs under way finish, remove the socket."""
        if self._listener is None:
            return
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self._listener = None
        self._path.unlink(missing_ok=True)
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError:
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener)
            loop.call_later(ACCEPT_AGAIN_S, self._resume)
            return
        task = asyncio.create_task(self._serve(connection), name="control client")
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda _: connection.close())

    def _resume(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=REQUEST_LIMIT)
        client = _Client(self._operations, reader, writer)
        if len(self._connections) > self._clients:
            await client.turn_away(Unavailable(f"{self._clients} clients are connected already"))
        else:
            await client.run()


class _Client:
    """One connection: reads requests, runs each in a task of its own."""

    def __init__(
        self, operations: Operations, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._operations = operations
        self._reader = reader
        self._writer = writer
        self._answers: dict[int, asyncio.Task[None]] = {}
        self._streams: set[int] = set()

    async def run(self) -> None:
        """Answer until the client closes its side; being cancelled is the same end."""
        try:
            while (line := await self._reader.readline()).endswith(b"\n"):
                await self._take(line)
        except ValueError:
            self._last_word(Invalid(f"a request is longer than {REQUEST_LIMIT} bytes"))
        except (asyncio.CancelledError, OSError):
            pass
        finally:
            await self._end()

    async def turn_away(self, error: KosError) -> None:
        """Say why nothing will be answered here, and hang up."""
        self._last_word(error)
        await self._end()

    def _last_word(self, error: KosError) -> None:
        with contextlib.suppress(OSError):
            self._writer.write(encode({"id": None, "error": failure(error)}))

    async def _end(self) -> None:
        for number in self._streams:
            self._answers[number].cancel()
        if self._answers:
            await asyncio.wait(self._answers.values(), timeout=CLOSING_GRACE_S)
        if self._answers:
            self._writer.transport.abort()
            await asyncio.wait(self._answers.values())
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(self._writer.wait_closed(), CLOSING_GRACE_S)
        self._writer.transport.abort()

    async def _take(self, line: bytes) -> None:
        try:
            request = read_request(line)
        except Invalid as error:
            await self._send({"id": None, "error": failure(error)})
            return
        if request.cancel:
            if request.id in self._streams:
                self._answers[request.id].cancel()
        elif request.id in self._answers:
            twice = Invalid(f"a request with the id {request.id} is under way")
            await self._send({"id": request.id, "error": failure(twice)})
        elif len(self._answers) >= MAX_REQUESTS:
            full = Unavailable(f"{MAX_REQUESTS} requests are under way on this connection")
            await self._send({"id": request.id, "error": failure(full)})
        else:
            self._begin(request)

    def _begin(self, request: Request) -> None:
        verb = VERBS.get(request.verb)
        if verb is not None and verb.streams:
            self._streams.add(request.id)
        task = asyncio.create_task(self._answer(request, verb), name=f"control {request.verb}")
        self._answers[request.id] = task
        task.add_done_callback(lambda _: self._forget(request.id))

    def _forget(self, number: int) -> None:
        self._answers.pop(number, None)
        self._streams.discard(number)

    async def _answer(self, request: Request, verb: Verb | None) -> None:
        try:
            if verb is None:
                raise Invalid(f"there is no verb {request.verb!r}")
            params = checked(verb, request.params)
            method = getattr(self._operations, verb.name)
            if verb.streams:
                async with contextlib.aclosing(method(**params)) as items:
                    async for item in items:
                        await self._send({"id": request.id, "item": item})
                last: Json = {"id": request.id, "end": True}
            else:
                last = {"id": request.id, "result": await method(**params)}
        except _Gone:
            return
        except asyncio.CancelledError:
            last = {"id": request.id, "end": True}
        except KosError as error:
            last = {"id": request.id, "error": failure(error)}
        except Exception as error:
            _log.exception("the verb %s failed", request.verb, extra=Said.BUG.of())
            bug = Misuse(f"the daemon failed: {type(error).__name__}: {error}", hint="see the daemon's log")
            last = {"id": request.id, "error": failure(bug)}
        with contextlib.suppress(_Gone):
            await self._send(last)

    async def _send(self, value: Json) -> None:
        if self._writer.transport.is_closing():
            raise _Gone
        try:
            self._writer.write(encode(value))
            await self._writer.drain()
        except OSError:
            raise _Gone from None


class _Gone(OSError):
    """The client does not listen any more."""
