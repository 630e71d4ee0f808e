"""The door of a node: sessions on one side, strangers on the other, and nothing in between.

What arrives unprotected can become a handshake or a short refusal, by type: the handler of KLP takes a
`Session`, and only a message that the keys of that session opened comes with one. What leaves for a peer's
KLP resources leaves through `Session.request`, which protects it; `request_plain` refuses every path that
is not open to all.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from kos_edge.bootstrap.schedule import OscoreKeys
from kos_edge.clock import Clock, SystemClock
from kos_edge.errors import Invalid, Misuse, Unavailable
from kos_edge.transport.address import Address, Carrier
from kos_edge.transport.calls import Call, Calls
from kos_edge.transport.coap import (
    EDHOC,
    OSCORE,
    POST,
    UNAUTHORIZED,
    Message,
    Options,
    Request,
    Response,
    read_response,
)
from kos_edge.transport.gate import Gate
from kos_edge.transport.links import Incoming, Links
from kos_edge.transport.oscore import Binding, OscoreOption, SecurityContext
from kos_edge.transport.session import REQUEST_TIMEOUT, NotTaken, Session
from kos_edge.transport.surface import OPEN_PATHS
from kos_edge.transport.wire import request_options

HINT_INTERVAL: Final = 5.0
"""Seconds between two hints of one session, so that whoever forges them causes one handshake at most."""

EdhocServer = Callable[[Address, bytes, bytes | None], Awaitable[Response]]
"""Answers a POST to the handshake's resource: who asks, the payload, the Echo value it repeats."""

EdhocCombined = Callable[[Address, bytes, bytes], Awaitable[tuple[Session, bytes] | Response]]
"""Finishes a handshake that came with a first request (RFC 9668): who asks, the kid of the OSCORE option, the
payload; gives the session and what of the payload is OSCORE's, or an EDHOC error."""

OnRequest = Callable[[Session, Request], Awaitable[Response]]
"""Answers a protected request."""


class Endpoint:
    """One node's CoAP endpoint over all its carriers.

    `on_closed(session, reason)` tells that a session ended, whoever ended it. `on_hint(session)` tells that
    somebody, perhaps the peer, does not know the session any more: nobody's proof, worth one handshake.
    The clock's monotonic seconds must run as the event loop's do.
    """

    def __init__(
        self,
        carriers: Sequence[Carrier],
        edhoc_server: EdhocServer,
        on_request: OnRequest,
        *,
        edhoc_combined: EdhocCombined | None = None,
        on_closed: Callable[[Session, str], None] | None = None,
        on_hint: Callable[[Session], None] | None = None,
        clock: Clock | None = None,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.clock = clock or SystemClock()
        self.random = random
        self._on_closed = on_closed
        self._on_hint = on_hint
        self._sessions: dict[bytes, Session] = {}
        self._on_stream: dict[Address, Session] = {}
        self._calls = Calls(random)
        self._links = Links(carriers, self.clock, random, self)
        self._gate = Gate(self._links, self.clock, self._sessions, edhoc_server, edhoc_combined, on_request)

    @property
    def bound(self) -> list[Address]:
        """Where others reach this endpoint; empty before `start`."""
        return self._links.bound

    @property
    def sessions(self) -> list[Session]:
        """The open ones."""
        return list(self._sessions.values())

    @property
    def counters(self) -> Counter[str]:
        """What was not done for others because of a bound, by its name."""
        return self._links.counters + self._gate.counters

    @property
    def connections(self) -> list[Address]:
        """The streams that are open, oldest first, with a session on them or not."""
        return self._links.connections

    async def start(self) -> None:
        """Begin to listen. `Unavailable` when a port is taken; then nothing listens."""
        await self._links.start()

    async def close(self) -> None:
        """End all sessions and stop listening."""
        for session in self.sessions:
            session.close("this endpoint was closed")
        self._gate.close()
        await self._links.close()
        self._calls.fail(Unavailable("this endpoint was closed"))

    async def connect(self, target: Address) -> Address:
        """The address to hand to `request_plain` and `add_session`: on streams, that of a new connection.

        On datagrams the host's name is resolved, and a numeric address brought to its one form.
        `Unavailable` when nobody answers there, or this endpoint has no such carrier.
        """
        return await self._links.connect(target)

    def disconnect(self, address: Address) -> None:
        """Close a connection that no session is on, as after a handshake that failed."""
        if address in self._on_stream:
            raise Misuse("a session is on this connection: close the session")
        self._links.disconnect(address)

    def holds(self, recipient_id: bytes) -> bool:
        """Whether an open session here is addressed by this OSCORE id."""
        return recipient_id in self._sessions

    def add_session(self, address: Address, keys: OscoreKeys, peer: object) -> Session:
        """Make a session from what a handshake agreed on.

        `Misuse` when its recipient id is taken or the connection has a session; `Unavailable` when the
        connection is gone.
        """
        if keys.recipient_id in self._sessions:
            raise Misuse(f"recipient id {keys.recipient_id.hex()} is taken by another session")
        if address in self._on_stream:
            raise Misuse("one connection carries one session")
        context = SecurityContext(keys)
        if self._links.is_stream(address):
            self._links.authenticate(address)
        session = Session(self, address, context, peer)
        if self._links.is_stream(address):
            self._on_stream[address] = session
        self._sessions[keys.recipient_id] = session
        return session

    async def request_plain(
        self,
        address: Address,
        request: Request,
        *,
        timeout: float = REQUEST_TIMEOUT,  # noqa: ASYNC109 - the deadline of a call, as in Session.request
    ) -> Response:
        """Ask in the clear, which only the paths that are open to all allow: `Misuse` for every other.

        What comes back is nobody's word until the handshake has proved it. A connection that was not opened
        before is closed afterwards. `Unavailable` without an answer.
        """
        if request.path not in OPEN_PATHS or request.option(OSCORE) is not None:
            raise Misuse(f"{request.path} is asked for by a session only")
        target = await self.connect(address)
        try:
            with self._calls.open(target, timeout) as call:
                message = Message(request.code, call.token, request_options(request), request.payload)
                return await self._settled(call, message, confirmable=True)
        finally:
            if target.connection != address.connection:
                self.disconnect(target)

    # What sessions call.

    async def call(
        self,
        session: Session,
        target: Address,
        options: Options,
        payload: bytes,
        binding: Binding,
        *,
        confirmable: bool,
        within: float,
    ) -> Response:
        handshake = any(number == EDHOC for number, _ in options)
        with self._calls.open(target, within, session, binding, handshake=handshake) as call:
            if self._links.is_stream(target):
                await self._drain(target, within)
            message = Message(POST, call.token, options, payload)
            return await self._settled(call, message, confirmable=confirmable)

    def end(self, session: Session, reason: str) -> None:
        del self._sessions[session.recipient_id]
        self._calls.fail(Unavailable(f"the session was closed: {reason}"), session=session)
        if self._on_stream.pop(session.address, None) is not None:
            self._links.disconnect(session.address)
        if self._on_closed is not None:
            self._on_closed(session, reason)

    def max_payload(self, address: Address) -> int:
        return self._links.max_payload(address)

    # What the links call.

    def request_arrived(self, incoming: Incoming) -> None:
        self._gate.request_arrived(incoming)

    def response_arrived(self, source: Address, message: Message) -> bool:
        call = self._calls.get(message.token)
        if call is None:
            return False
        try:
            if call.session is None or call.binding is None:
                return self._plain_response(call, source, message)
            return self._protected_response(call, call.session, call.binding, source, message)
        except Invalid:
            return False

    def expects(self, token: bytes) -> bool:
        return self._calls.get(token) is not None

    def given_up(self, token: bytes, reason: str, *, reset: bool) -> None:
        call = self._calls.get(token)
        if call is None:
            return
        if call.session is not None:
            self._hint(call.session)
        if call.session is None or not reset:
            call.fail(Unavailable(reason))

    def connection_gone(self, peer: Address, reason: str) -> None:
        session = self._on_stream.pop(peer, None)
        if session is not None:
            session.close(reason)
        self._calls.fail(Unavailable(f"the connection is gone: {reason}"), target=peer)

    # Plumbing.

    async def _settled(self, call: Call, message: Message, *, confirmable: bool) -> Response:
        self._links.request(call.target, message, confirmable=confirmable)
        try:
            return await call.future
        finally:
            self._links.settle(call.token)

    async def _drain(self, target: Address, within: float) -> None:
        try:
            async with asyncio.timeout(within):
                await self._links.drain(target)
        except TimeoutError:
            raise Unavailable(f"the connection took nothing for {within:g} s") from None

    def _plain_response(self, call: Call, source: Address, message: Message) -> bool:
        if source != call.target or message.option(OSCORE) is not None:
            return False
        call.succeed(read_response(message.code, message.options, message.payload))
        return True

    def _protected_response(
        self, call: Call, session: Session, binding: Binding, source: Address, message: Message
    ) -> bool:
        value = message.option(OSCORE)
        if value is not None:
            response = session.context.unprotect_response(binding, OscoreOption.read(value), message.payload)
            session.heard_at = self.clock.monotonic()
            call.succeed(response)
            return True
        if source == call.target:
            if call.handshake and message.code >= 0x80:
                call.fail(NotTaken(read_response(message.code, message.options, message.payload)))
            elif message.code == UNAUTHORIZED:
                self._hint(session)
        return False

    def _hint(self, session: Session) -> None:
        now = self.clock.monotonic()
        if self._on_hint is not None and now - session.hinted_at >= HINT_INTERVAL:
            session.hinted_at = now
            self._on_hint(session)
