"""What becomes of a request that arrived: it is opened by a session's keys, or it is a stranger's.

Nothing is said to a replay or a forgery: whoever sent it learns nothing, and the real message still gets
through.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Final

from kos_edge.clock import Clock
from kos_edge.errors import Invalid, KosError, Misuse, Refused, Unavailable, Unknown
from kos_edge.transport.address import Address
from kos_edge.transport.coap import (
    BAD_OPTION,
    BAD_REQUEST,
    BLOCK1,
    CHANGED,
    CONTENT,
    EDHOC,
    FETCH,
    FORBIDDEN,
    INTERNAL_ERROR,
    OSCORE,
    PROXY_SCHEME,
    PROXY_URI,
    SERVICE_UNAVAILABLE,
    UNAUTHORIZED,
    Message,
    Request,
    Response,
    read_request,
)
from kos_edge.transport.links import Incoming, Links
from kos_edge.transport.oscore import Binding, OscoreOption, Unreadable
from kos_edge.transport.session import ALIVE, Session
from kos_edge.transport.surface import AMPLIFICATION, MAX_STRANGERS, Limiter, is_handshake, plain_answer
from kos_edge.transport.wire import encode_datagram, response_options

MAX_HANDLERS: Final = 1_024
"""Protected requests being answered at one time; datagrams beyond it are dropped, as by a full socket."""

MAX_ON_STREAM: Final = 64
"""Of these from one connection, which beyond it is not read until half of them are done."""

MAX_REASON: Final = 200
"""Bytes of the reason that an authenticated peer is told."""

_LOG = logging.getLogger(__name__)


class Gate:
    """Decides about every request, and runs what answers it."""

    def __init__(
        self,
        links: Links,
        clock: Clock,
        sessions: Mapping[bytes, Session],
        edhoc_server: Callable[[Address, bytes, bytes | None], Awaitable[Response]],
        edhoc_combined: Callable[[Address, bytes, bytes], Awaitable[tuple[Session, bytes] | Response]] | None,
        on_request: Callable[[Session, Request], Awaitable[Response]],
    ) -> None:
        self._links = links
        self._clock = clock
        self._sessions = sessions
        self._edhoc_server = edhoc_server
        self._edhoc_combined = edhoc_combined
        self._on_request = on_request
        self._limiter = Limiter()
        self._strangers: set[asyncio.Task[None]] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._on_stream: dict[Address, int] = {}
        self.counters: Counter[str] = Counter()
        self._failed_before = False

    def close(self) -> None:
        """Stop everything that is being answered."""
        for task in (*self._strangers, *self._handlers):
            task.cancel()

    def request_arrived(self, incoming: Incoming) -> None:
        """Take a request off the wire. Never raises."""
        message = incoming.message
        value = message.option(OSCORE)
        try:
            if value is None:
                self._stranger(incoming, read_request(message.code, message.options, message.payload))
                return
            if message.option(PROXY_URI) is not None or message.option(PROXY_SCHEME) is not None:
                raise Invalid("this is no proxy")
            option = OscoreOption.read(value)
        except Invalid:
            self._refuse(incoming, BAD_OPTION if value is None else UNAUTHORIZED)
            return
        if message.option(EDHOC) is not None:
            self._combined(incoming, option)
            return
        session = self._sessions.get(option.kid or b"")
        if session is None:
            self._refuse(incoming, UNAUTHORIZED)
        else:
            self._open(incoming, session, option, message.payload)

    # Strangers.

    def _stranger(self, incoming: Incoming, request: Request) -> None:
        if is_handshake(request):
            self._spawn_stranger(incoming, self._handshake(incoming, request))
            return
        response = plain_answer(request)
        if response.ok and self._limiter.allow(incoming.source.origin, self._clock.monotonic()):
            self._answer_plain(incoming, response, proven=False)
        else:
            self._refuse(incoming, UNAUTHORIZED)

    def _combined(self, incoming: Incoming, option: OscoreOption) -> None:
        if self._edhoc_combined is None or option.kid is None:
            self._refuse(incoming, BAD_OPTION)
        else:
            self._spawn_stranger(incoming, self._handshake_and_request(incoming, option, option.kid))

    def _spawn_stranger(self, incoming: Incoming, work: Coroutine[object, object, None]) -> None:
        if len(self._strangers) >= MAX_STRANGERS:
            work.close()
            self.counters["strangers dropped"] += 1
            self._links.forget(incoming)
            return
        task = asyncio.get_running_loop().create_task(work)
        self._strangers.add(task)
        task.add_done_callback(self._strangers.discard)

    async def _handshake(self, incoming: Incoming, request: Request) -> None:
        try:
            response = await self._edhoc_server(incoming.source, request.payload, request.echo)
        except Exception as error:
            response = self._failure(error, told=False)
        self._answer_plain(incoming, response, proven=response.reachable)

    async def _handshake_and_request(self, incoming: Incoming, option: OscoreOption, kid: bytes) -> None:
        assert self._edhoc_combined is not None
        try:
            result = await self._edhoc_combined(incoming.source, kid, incoming.message.payload)
        except Exception as error:
            result = self._failure(error, told=False)
        if isinstance(result, Response):
            self._answer_plain(incoming, result, proven=False)
        else:
            self._open(incoming, result[0], option, result[1])

    def _answer_plain(self, incoming: Incoming, response: Response, *, proven: bool) -> None:
        options = response_options(response)
        message = Message(response.code, incoming.message.token, options, response.payload)
        datagram = incoming.requested is not None
        if datagram and not proven and len(encode_datagram(message)) > AMPLIFICATION * incoming.size:
            self._refuse(incoming, UNAUTHORIZED)
        else:
            self._send(incoming, message)

    def _refuse(self, incoming: Incoming, code: int) -> None:
        """Say no in as many bytes as the question's header had, a few times a second, else nothing."""
        if self._limiter.allow(incoming.source.origin, self._clock.monotonic()):
            self._send(incoming, Message(code, incoming.message.token))
        else:
            self.counters["refusals withheld"] += 1
            self._links.forget(incoming)

    # Members.

    def _open(self, incoming: Incoming, session: Session, option: OscoreOption, payload: bytes) -> None:
        source = incoming.source
        home = session.address
        elsewhere = source.carrier != home.carrier or source.connection != home.connection
        full = source.connection is None and len(self._handlers) >= MAX_HANDLERS
        self.counters["members dropped"] += full
        if elsewhere or full or session.closed is not None:
            self._links.forget(incoming)
            return
        try:
            request, binding = session.context.unprotect_request(option, payload)
        except Unreadable as error:
            self._links.prove(incoming)
            self._answer(incoming, session, error.binding, Response(BAD_OPTION))
            return
        except Invalid:
            self._links.forget(incoming)
            if session.context.worn_out:
                session.close("its keys have seen too many forgeries")
            return
        now = self._clock.monotonic()
        self._links.prove(incoming)
        session.heard(source, binding.number, now)
        if request == ALIVE:
            self._answer(incoming, session, binding, Response(CONTENT))
            return
        last_block = request.option(BLOCK1)
        whole = session.reassemble(request, now)
        if isinstance(whole, Response):
            self._answer(incoming, session, binding, whole)
        else:
            self._spawn_handler(incoming, session, binding, whole, last_block)

    def _spawn_handler(
        self, incoming: Incoming, session: Session, binding: Binding, request: Request, block: bytes | None
    ) -> None:
        self._count(incoming.source, 1)
        work = self._handle(incoming, session, binding, request, block)
        task = asyncio.get_running_loop().create_task(work)
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)

    async def _handle(
        self, incoming: Incoming, session: Session, binding: Binding, request: Request, block: bytes | None
    ) -> None:
        source = incoming.source
        try:
            response = await self._on_request(session, request)
            self._check_size(session, source, response)
        except Exception as error:
            response = self._failure(error, told=True)
        finally:
            self._count(source, -1)
        if block is not None:
            response = Response(
                response.code,
                response.payload,
                response.content_format,
                (*response.options, (BLOCK1, block)),
            )
        self._answer(incoming, session, binding, response)

    def _answer(self, incoming: Incoming, session: Session, binding: Binding, response: Response) -> None:
        if session.closed is not None:
            return
        try:
            try:
                value, payload = session.context.protect_response(binding, response)
            except Misuse as error:
                self._complain(error)
                value, payload = session.context.protect_response(binding, Response(INTERNAL_ERROR))
        except Unavailable as error:
            session.close(error.message)
            return
        outer = CONTENT if incoming.message.code == FETCH else CHANGED  # RFC 8613 section 4.2
        self._send(incoming, Message(outer, incoming.message.token, ((OSCORE, value),), payload))

    def _count(self, source: Address, change: int) -> None:
        if source.connection is None:
            return
        running = self._on_stream.get(source, 0) + change
        if running:
            self._on_stream[source] = running
        else:
            self._on_stream.pop(source, None)
        if change > 0 and running == MAX_ON_STREAM:
            self._links.pause(source, True)
        elif change < 0 and running == MAX_ON_STREAM // 2:
            self._links.pause(source, False)

    # Both.

    def _check_size(self, session: Session, source: Address, response: Response) -> None:
        limit = min(self._links.max_payload(source), session.max_plain)
        if len(response.payload) > limit:
            raise Misuse(f"an answer of {len(response.payload)} bytes, and one message holds {limit}")

    def _send(self, incoming: Incoming, message: Message) -> None:
        try:
            self._links.answer(incoming, message)
        except KosError as error:
            self._links.forget(incoming)
            self._complain(error)

    def _failure(self, error: Exception, *, told: bool) -> Response:
        """What to answer when a handler or a hook failed; `told`: whether the asker may know why."""
        match error:
            case Invalid():
                code = BAD_REQUEST
            case Refused():
                code = FORBIDDEN
            case Unavailable() | Unknown():
                code = SERVICE_UNAVAILABLE
            case _:
                self._complain(error)
                return Response(INTERNAL_ERROR)
        return Response(code, error.message.encode()[:MAX_REASON] if told else b"")

    def _complain(self, error: Exception) -> None:
        level = logging.DEBUG if self._failed_before else logging.WARNING
        self._failed_before = True
        _LOG.log(level, "a request could not be answered", exc_info=error)
