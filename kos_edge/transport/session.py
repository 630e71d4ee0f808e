"""One protected session with one peer: the only way to ask a peer for anything of KLP.

A session belongs to who its keys were agreed with, not to an address. When an authentic request comes from
another address its answer goes there at once, but what this side sends of its own follows only after a
request sent there was answered under the session's keys: whoever merely forged a source address cannot do
that.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from kos_edge.clock import Clock
from kos_edge.errors import KosError, Misuse, Unavailable
from kos_edge.transport.address import Address
from kos_edge.transport.blockwise import MAX_AGE, MAX_BODY, Reassembly, Upload
from kos_edge.transport.coap import BLOCK1, EDHOC, GET, OSCORE, Options, Request, Response, code_text
from kos_edge.transport.oscore import Binding, SecurityContext

REQUEST_TIMEOUT: Final = 10.0
"""Seconds for an answer when the caller does not say: two retransmissions of a confirmable request."""

PATH_CHECK_TIMEOUT: Final = 10.0
"""Seconds that a new address has to prove that the peer is there."""

PLAINTEXT_OVERHEAD: Final = 300
"""Bytes left around a payload for what is encrypted with it: a code, the longest path, a few options."""

ALIVE: Final = Request(GET, "/")
"""Asks only for a sign of life; every endpoint answers it by itself, with 2.05 and nothing in it."""


class NotTaken(Unavailable):
    """The other side did not finish the handshake that came with a request; `response` is unprotected."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"the other side did not take the handshake: {code_text(response.code)}")
        self.response = response


class Caller(Protocol):
    """What a session needs of its endpoint."""

    clock: Clock

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
        """Send a protected request and wait for its protected response."""
        ...

    def end(self, session: Session, reason: str) -> None:
        """The session is over."""
        ...

    def max_payload(self, address: Address) -> int:
        """Bytes of payload that one message there may carry."""
        ...

    def random(self, size: int) -> bytes: ...


class Session:
    """Made by `Endpoint.add_session` only. `peer` is whatever its maker wants to know it by.

    `spoke` is set when the peer has asked for something under these keys.
    """

    def __init__(self, caller: Caller, address: Address, context: SecurityContext, peer: object) -> None:
        self.peer = peer
        self.address = address
        self.context = context
        self.closed: str | None = None
        self.opened_at = caller.clock.monotonic()
        self.heard_at = self.opened_at
        self.hinted_at = float("-inf")
        self.spoke = asyncio.Event()
        self._reassembly = Reassembly()
        self._caller = caller
        self._one_upload = asyncio.Lock()
        self._newest = -1
        self._checking: asyncio.Task[None] | None = None
        self._upload_timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        state = "open" if self.closed is None else f"closed: {self.closed}"
        return f"<Session with {self.peer!r} at {self.address}, {state}>"

    @property
    def recipient_id(self) -> bytes:
        """The OSCORE id under which this side is addressed; unique among the sessions of an endpoint."""
        return self.context.recipient_id

    @property
    def needs_rekey(self) -> bool:
        """Whether it is time for a new handshake (RFC 8613 section 7.2.1); the session works on meanwhile."""
        return self.context.needs_rekey

    @property
    def max_plain(self) -> int:
        """Bytes of payload that one message can protect, whatever carries it: under AES-CCM not 64 KiB."""
        return self.context.max_plaintext - PLAINTEXT_OVERHEAD

    @property
    def held(self) -> int:
        """Bytes of a request that has not arrived whole."""
        return self._reassembly.held

    async def request(
        self,
        request: Request,
        *,
        confirmable: bool | None = None,
        timeout: float = REQUEST_TIMEOUT,  # noqa: ASYNC109 - for each message, so no one scope holds it
        handshake: bytes = b"",
    ) -> Response:
        """Ask the peer and wait for its answer, `timeout` seconds for each message.

        Over datagrams a request is confirmable unless `confirmable=False`, which sends it once. A body that
        one message does not hold goes in blocks, one upload at a time: over 1,024 bytes on datagrams, over
        what the other side takes on streams. `handshake` is an EDHOC message_3 that goes before the request
        in one message (RFC 9668).

        `Unavailable` when no answer came, or the session is or gets closed; `NotTaken` when the other side
        refused the handshake; `Misuse` when the body is over 72 KiB.
        """
        single = min(self._caller.max_payload(self.address), self.max_plain)
        if len(request.payload) + len(handshake) <= single:
            sure = confirmable is not False
            return await self._send(request, self.address, sure, timeout, handshake)
        if len(request.payload) > MAX_BODY or handshake:
            raise Misuse(f"a body of {len(request.payload)} bytes does not fit a request")
        async with self._one_upload:
            return await self._upload(request, timeout)

    async def alive(self, timeout: float = REQUEST_TIMEOUT) -> None:  # noqa: ASYNC109 - as in request
        """Return when the peer has shown that it is there and has the keys. `Unavailable` when it has not."""
        await self._send(ALIVE, self.address, True, timeout)

    def close(self, reason: str = "closed here") -> None:
        """End the session: what waits for an answer fails, what still comes under its keys is unknown."""
        if self.closed is None:
            self.closed = reason
            if self._checking is not None:
                self._checking.cancel()
            if self._upload_timer is not None:
                self._upload_timer.cancel()
            self._caller.end(self, reason)

    def heard(self, source: Address, number: int, now: float) -> None:
        """An authentic message number `number` came from `source`: for the endpoint to tell."""
        self.heard_at = now
        self.spoke.set()
        if number <= self._newest:
            return
        self._newest = number
        if source != self.address and self._checking is None and self.closed is None:
            self._checking = asyncio.get_running_loop().create_task(self._check_path(source))

    def reassemble(self, request: Request, now: float) -> Request | Response:
        """A request that may be a block: the whole one, or what to answer to a block. For the endpoint."""
        whole = self._reassembly.take(request, now)
        if self._reassembly.held and self._upload_timer is None:
            self._watch_upload()
        return whole

    def _watch_upload(self) -> None:
        self._upload_timer = asyncio.get_running_loop().call_later(MAX_AGE, self._expire_upload)

    def _expire_upload(self) -> None:
        self._upload_timer = None
        self._reassembly.expire(self._caller.clock.monotonic())
        if self._reassembly.held:
            self._watch_upload()

    async def _check_path(self, source: Address) -> None:
        try:
            await self._send(ALIVE, source, True, PATH_CHECK_TIMEOUT)
            self.address = source
        except KosError:
            pass  # the address stays what it was, and the next authentic request from elsewhere asks again
        finally:
            self._checking = None

    async def _upload(self, request: Request, within: float) -> Response:
        upload = Upload(request, self._caller.random(4))
        while True:
            response = await self._send(upload.block(), self.address, True, within)
            final = upload.answered(response)
            if final is not None:
                options = tuple(option for option in final.options if option[0] != BLOCK1)
                return Response(final.code, final.payload, final.content_format, options)

    async def _send(
        self, request: Request, target: Address, confirmable: bool, within: float, handshake: bytes = b""
    ) -> Response:
        if self.closed is not None:
            raise Unavailable(f"the session is closed: {self.closed}")
        try:
            option, payload, binding = self.context.protect_request(request)
        except Unavailable as error:
            self.close(error.message)
            raise
        options: Options = ((OSCORE, option),)
        if handshake:
            options += ((EDHOC, b""),)
        return await self._caller.call(
            self, target, options, handshake + payload, binding, confirmable=confirmable, within=within
        )
