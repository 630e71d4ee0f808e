"""The requests of an endpoint that wait for their response, by token (RFC 7252 section 5.3.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from kos_edge.errors import KosError, Unavailable
from kos_edge.transport.address import Address
from kos_edge.transport.coap import Response
from kos_edge.transport.oscore import Binding
from kos_edge.transport.session import Session

MAX_CALLS: Final = 16_384
"""Requests that wait at one time; a courier's window is 1,024 a peer at most."""

TOKEN_SIZE: Final = 4
"""Bytes for a request whose response the keys of a session prove."""

PLAIN_TOKEN_SIZE: Final = 8
"""Bytes for one where nothing else keeps a forger away who does not see the wire."""


@dataclass(slots=True)
class Call:
    """One request that waits. `session` and `binding` are there when it was protected."""

    token: bytes
    target: Address
    future: asyncio.Future[Response]
    session: Session | None = None
    binding: Binding | None = None
    handshake: bool = False

    def succeed(self, response: Response) -> None:
        if not self.future.done():
            self.future.set_result(response)

    def fail(self, error: KosError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Calls:
    """All of them. Tokens are random and free, however many have been used before."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._waiting: dict[bytes, Call] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def get(self, token: bytes) -> Call | None:
        """The call with this token, if somebody still waits for it."""
        return self._waiting.get(token)

    @contextmanager
    def open(
        self,
        target: Address,
        within: float,
        session: Session | None = None,
        binding: Binding | None = None,
        *,
        handshake: bool = False,
    ) -> Iterator[Call]:
        """A new call, waiting for `within` seconds at most. `Unavailable` when too many wait."""
        if len(self._waiting) >= MAX_CALLS:
            raise Unavailable("too many requests wait for their answers")
        loop = asyncio.get_running_loop()
        token = self._free(PLAIN_TOKEN_SIZE if session is None else TOKEN_SIZE)
        call = Call(token, target, loop.create_future(), session, binding, handshake)
        self._waiting[token] = call
        timer = loop.call_later(within, call.fail, Unavailable(f"no answer within {within:g} s"))
        try:
            yield call
        finally:
            timer.cancel()
            del self._waiting[token]
            call.future.cancel()

    def fail(self, error: KosError, *, session: Session | None = None, target: Address | None = None) -> None:
        """Fail the calls of a session, or those to an address, or all."""
        for call in list(self._waiting.values()):
            if session in (None, call.session) and target in (None, call.target):
                call.fail(error)

    def _free(self, size: int) -> bytes:
        while True:  # ends: MAX_CALLS are far fewer than there are tokens
            token = self._random(size)
            if token not in self._waiting:
                return token
