"""Enrolment: going on with a wish to join for as long as it takes, at the hub's addresses and wherever one is found."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from kos_edge.clock import Clock
from kos_edge.discovery.sighting import Found, Hint
from kos_edge.discovery.static import from_token, look_up
from kos_edge.errors import Invalid, KosError, Refused, Unavailable
from kos_edge.mesh.claims import Role
from kos_edge.mesh.token import Token
from kos_edge.node.handshakes import AskedToWait, Handshakes, Joined, TurnedAway
from kos_edge.node.peers import Peers
from kos_edge.node.trust import Trust
from kos_edge.said import Said
from kos_edge.transport.address import Address

RETRY_S = 5.0  # between two rounds over all addresses; what discovery finds is tried at once

log = logging.getLogger(__name__)


class Enrolment:
    """Keeps at a wish (`Trust.wish`) until this node is a member, or the hub has said no."""

    def __init__(
        self,
        trust: Trust,
        clock: Clock,
        handshakes: Handshakes,
        peers: Peers,
        *,
        joined: Callable[[], None],
        save: Callable[[], Awaitable[None]],
        carriers: Sequence[str] = ("udp",),
    ) -> None:
        self._trust = trust
        self._clock = clock
        self._handshakes = handshakes
        self._peers = peers
        self._joined = joined
        self._save = save
        self._carriers = tuple(carriers)
        self._wake = asyncio.Event()
        self.waiting: AskedToWait | None = None
        self.complaint = ""

    def news(self) -> None:
        """There is a wish, or somebody was found."""
        self._wake.set()

    async def run(self) -> None:
        """Try whenever there is a wish, for as long as the node runs."""
        while True:
            self._wake.clear()
            pause: float | None = None
            if self._trust.wish is not None and self._trust.membership is None:
                pause = RETRY_S
                try:
                    outcome = await self.attempt()
                    if isinstance(outcome, AskedToWait):
                        pause = outcome.poll_after_s
                except TurnedAway as error:
                    self._say(f"{error.message}; the wish to join is given up")
                    self._trust.want(None)
                    with contextlib.suppress(KosError):  # it stays to be saved
                        await self._save()
                except KosError as error:
                    self._say(error.message)
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def attempt(self) -> Joined | AskedToWait:
        """One round: every address where the hub may be. Raises TurnedAway, Refused, Unavailable."""
        wish = self._trust.wish
        if wish is None:
            raise Unavailable("there is no wish to join", hint="kos-edge join TOKEN")
        token = Token.parse(wish["token"]) if "token" in wish else None
        mesh = bytes.fromhex(wish["mesh"]) if "mesh" in wish else None
        reason: KosError = Unavailable("no hub was found", hint="is it running, and on this network?")
        ways = [
            (Address(carrier, hint.host, hint.port), hint)
            for hint in await self._hints(token, mesh)
            for carrier in self._carriers
        ]
        for address, hint in ways:
            try:
                outcome = await self._handshakes.enrol(
                    address, mesh=mesh, token=token, role=Role.parse(wish["role"]), name=wish.get("name", "")
                )
            except TurnedAway:
                raise
            except Refused as error:
                reason = error
                continue
            except (Unavailable, Invalid) as error:  # an answer that makes no sense is as good as none
                reason = Unavailable(error.message, hint=error.hint)
                continue
            self.waiting = outcome if isinstance(outcome, AskedToWait) else None
            if isinstance(outcome, Joined):
                self._peers.heard(
                    Found(outcome.hub.kid, None, None, (Hint(hint.host, hint.port, hint.port),))
                )
                log.info(
                    "joined as %s at %s",
                    outcome.membership.name,
                    outcome.hub.name,
                    extra=Said.JOINED.of(peer=outcome.hub.name),
                )
                self._joined()
            return outcome
        raise reason

    async def _hints(self, token: Token | None, mesh: bytes | None) -> list[Hint]:
        found: list[Found] = []
        if token is not None:
            found.append(from_token(token))
        wanted = token.mesh if token is not None else mesh
        for sightings, _, _ in self._peers.seen().values():
            found += [f for f in sightings if f.role is Role.HUB and _may_be(f, wanted)]
        found += self._peers.given()
        hints: list[Hint] = []
        for each in found:
            try:
                hints += (await look_up(each)).addresses
            except Unavailable as error:
                log.debug("%s", error)
        return list(dict.fromkeys(hints))

    def _say(self, text: str) -> None:
        log.log(
            logging.DEBUG if text == self.complaint else logging.WARNING,
            "joining: %s",
            text,
            extra=Said.NOT_JOINED.of(),
        )
        self.complaint = text


def _may_be(found: Found, mesh: bytes | None) -> bool:
    return mesh is None or found.mesh_prefix is None or found.mesh_prefix == mesh[:8]
