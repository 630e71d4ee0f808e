"""An operator's station: the administering verbs of a hub, asked over a session; all else is this node's own.

Nothing runs here between two commands. Each opens a session to a hub, at the address where one was last reached or
given by hand, else where mDNS finds one, asks, and ends it. Every step has a short end: a person is waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import cast

from kos_edge.bootstrap.wire import ErrorMessage
from kos_edge.control.asking import Asking
from kos_edge.control.bootstrap_reports import AgainReport
from kos_edge.control.letter_reports import DeadLetter
from kos_edge.control.remote import ADMIN_PATH, ID_BYTES, MAX_ASK, Ask, decode_part, encode_ask
from kos_edge.control.reports import (
    JoinReport,
    Json,
    StatusReport,
)
from kos_edge.control.wire import decode, encode, error_from
from kos_edge.discovery.mdns import Mdns
from kos_edge.discovery.sighting import Event, Found
from kos_edge.discovery.static import look_up, parse_peer
from kos_edge.errors import Invalid, KosError, Misuse, Refused, Unavailable, Unknown
from kos_edge.mesh.claims import Role
from kos_edge.mesh.membership import Membership
from kos_edge.node.addresses import DEFAULT_PORT
from kos_edge.node.handshakes import AskedToWait, Reached
from kos_edge.node.node import Node
from kos_edge.node.operations import NodeOperations
from kos_edge.node.statedir import StateDir
from kos_edge.transport.address import Address
from kos_edge.transport.coap import (
    CHANGED,
    FORBIDDEN,
    NOT_FOUND,
    POST,
    SERVICE_UNAVAILABLE,
    Request,
    Response,
)
from kos_edge.transport.session import NotTaken

TRY_S = 2.0
"""For a session at one address: a Pi Zero 2 W answers within half a second, and nobody else is there."""

LOOK_S = 2.0
"""For mDNS to find a hub: two of its questions (RFC 6762 section 5.2)."""

ANSWER_S = 5.0
"""For one part of an answer; the same is then asked again."""

TRIES = 3

CARRIERS = ("tcp", "udp")
"""A connection brings an answer in one part, and works where UDP does not."""


class Station(Asking, NodeOperations):
    """Operations over a hub that is elsewhere: looks and decisions are the hub's, `join` and `leave` this node's."""

    def __init__(self, node: Node) -> None:
        super().__init__(node, running=False)
        self._at: Reached | None = None
        self._handshake = b""
        self._started = False

    # -- this node

    async def join(self, *, token: str | None = None, mesh: str | None = None) -> JoinReport:
        """Enrol; a hub that is not known yet is looked for."""
        for text in self._node.config.network.peers:
            self._node.peers.add_static(parse_peer(text, DEFAULT_PORT))
        report = await super().join(token=token, mesh=mesh)
        if report["outcome"] == "waiting" and await self._look():
            report = await super().join(token=token, mesh=mesh)
        return report

    async def admitted(self, wait_s: float, said: Callable[[], None] = lambda: None) -> JoinReport:
        """Ask again until a person has let this node in. Raises TurnedAway, or Unavailable after so many seconds."""
        trust = self._node.trust
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while trust.membership is None:
            pause = 5.0
            try:
                outcome = await self._node.enrolment.attempt()
                if isinstance(outcome, AskedToWait):
                    pause = float(outcome.poll_after_s)
            except Unavailable:
                await self._look()
            if trust.membership is None:
                if loop.time() + pause > until:
                    raise Unavailable(
                        "nobody has let this node in yet", hint="the same command goes on waiting"
                    )
                said()
                await asyncio.sleep(pause)
        await self._node.save()
        assert trust.mesh is not None
        return self._join_report("joined", trust.mesh, None)

    # -- the hub

    async def status(self) -> StatusReport:
        """The hub's; this node's own as long as it is no member."""
        if self._node.trust.membership is None:
            return await NodeOperations.status(self)
        return await super().status()

    async def bootstrap(
        self, *, mode: str = "default", force: bool = False, checks: bool = False, who: str | None = None
    ) -> AgainReport:
        if who is None:
            raise Refused("no daemon runs on a station", hint="for a member: kos-edge bootstrap --node WHO")
        answer = await self._ask("bootstrap", mode=mode, force=force, checks=checks, who=who)
        return cast(AgainReport, answer)

    async def queue_dead(self) -> AsyncGenerator[DeadLetter, None]:
        for letter in await self._ask("queue_dead"):
            yield letter

    # -- asking

    async def _ask(self, verb: str, **params: Json) -> Json:
        """The answer to one verb. Raises what the hub says, Unavailable without a hub, Unknown without an answer."""
        line = encode({"verb": verb, "params": params}).rstrip(b"\n")
        ident = os.urandom(ID_BYTES)
        if len(encode_ask(Ask(ident, 0, line))) > MAX_ASK:
            raise Invalid("the request is too long for a station")
        data = b""
        total = 1
        while len(data) < total:
            part = decode_part(await self._answered(Ask(ident, len(data), b"" if data else line)))
            if part.at != len(data) or (data and part.total != total):
                raise Invalid("the hub's answer is not in one piece")
            data, total = data + part.data, part.total
        match decode(data):
            case {"result": result}:
                return result
            case {"items": list(items)}:
                return items
            case {"error": error}:
                raise error_from(error)
        raise Misuse("the hub's answer is no answer")

    async def _answered(self, ask: Ask) -> bytes:
        """One part, asked for again under the same id where nothing comes: it is never carried out twice."""
        sent = ask.at > 0  # of an answer that has begun the rest is missing: the hub has done it
        for _ in range(TRIES):
            try:
                reached = await self._reached()
            except KosError:
                if sent:
                    break
                raise
            handshake, self._handshake = self._handshake, b""
            try:
                sent = True
                response = await reached.session.request(
                    Request(POST, ADMIN_PATH, encode_ask(ask)), timeout=ANSWER_S, handshake=handshake
                )
            except NotTaken as error:
                raise Refused(
                    f"{reached.peer.name} takes nothing from this station: {_said(error)}"
                ) from None
            except Unavailable:
                self._at = None
                continue
            match response.code:
                case code if code == CHANGED:
                    return response.payload
                case code if code in (FORBIDDEN, NOT_FOUND):
                    raise _forbidden(reached.peer, response)
                case code if code != SERVICE_UNAVAILABLE:
                    raise Invalid(f"{reached.peer.name} does not understand this station")
            sent = ask.at > 0  # what it had taken up it would have answered
            await asyncio.sleep(1.0)
        if not sent:
            raise Unavailable(
                "the hub has more to do for this operator than it may", hint="in a minute, again"
            )
        raise Unknown(
            "the hub has not answered: it may have been done or not", hint="kos-edge peers shows it"
        )

    async def _reached(self) -> Reached:
        """The session of this command."""
        if self._at is not None and self._at.session.closed is None:
            return self._at
        trust, node = self._node.trust, self._node
        if trust.membership is None:
            raise Unavailable(
                "this station belongs to no mesh yet",
                hint="kos-edge join --mesh HASH, or a TOKEN that a hub made: kos-edge invite --role operator",
            )
        if trust.barred(trust.membership):
            raise Refused("this operator is revoked, or its key is in quarantine")
        if not self._started and not node.endpoint.bound:
            await node.endpoint.start()
        self._started = True
        reason: KosError = Unavailable("no hub was found", hint="is it running, and on this network?")
        tried: set[Address] = set()
        for looked in (False, True):
            if looked and not await self._look():
                break
            for address, kid in await self._addresses():
                if address in tried:
                    continue
                tried.add(address)
                try:
                    async with asyncio.timeout(TRY_S):
                        self._at = await node.handshakes.reach(
                            address, kid=kid, expect=lambda member: member.role is Role.HUB
                        )
                except TimeoutError:
                    reason = Unavailable(f"nobody answers at {address}", hint="is the hub running there?")
                except KosError as error:
                    reason = error
                else:
                    self._handshake = self._at.message_3
                    return self._at
        raise Unavailable(f"no hub can be reached: {reason.message}", hint=reason.hint)

    async def _addresses(self) -> list[tuple[Address, bytes | None]]:
        """Where a hub may be: where one was, what was given by hand, what was heard."""
        node, trust = self._node, self._node.trust
        places: list[tuple[str, int, bytes | None]] = []
        for kid, (host, port) in trust.addresses.items():
            member = trust.roster.get(kid)
            if member is not None and member.role is Role.HUB and not trust.barred(member):
                places.append((host, port, kid))
        for text in node.config.network.peers:
            with contextlib.suppress(Unavailable):
                found = await look_up(parse_peer(text, DEFAULT_PORT))
                places += [(hint.host, hint.port, None) for hint in found.addresses]
        for kid, (sightings, _, _) in node.peers.seen().items():
            places += [
                (hint.host, hint.port, kid) for f in sightings if f.role is Role.HUB for hint in f.addresses
            ]
        return [(Address(carrier, host, port), kid) for host, port, kid in places for carrier in CARRIERS]

    async def _look(self) -> bool:
        """Whether mDNS finds a hub within `LOOK_S`."""
        node = self._node
        if not node.config.network.mdns:
            return False
        found = asyncio.Event()

        def heard(event: Event) -> None:
            node.peers.heard(event)
            if isinstance(event, Found) and event.role is Role.HUB:
                found.set()

        looking = asyncio.create_task(Mdns(heard, named=node.config.network.interfaces).run())
        try:
            async with asyncio.timeout(LOOK_S):
                await found.wait()
        except TimeoutError:
            return False
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking
        return True


@contextlib.asynccontextmanager
async def open_offline(state: Path) -> AsyncGenerator[NodeOperations, None]:
    """A station's operations where the node of this state is an operator, else its own; holds its lock."""
    with StateDir.open(state).lock():
        node = Node(state, quiet=True)
        async with node.opened():
            operator = node.trust.role is Role.OPERATOR
            yield Station(node) if operator else NodeOperations(node, running=False)


def _forbidden(hub: Membership, response: Response) -> KosError:
    if response.code == NOT_FOUND:
        return Unavailable(
            f"{hub.name} does not serve stations, or has forgotten what was asked", hint="ask again"
        )
    return Refused(
        f"{hub.name} takes no orders from this station: it is no operator there, or operators are not let in",
        hint="at the hub: kos-edge peers, and [admission] operators in its configuration",
    )


def _said(error: NotTaken) -> str:
    try:
        return str(ErrorMessage.read(error.response.payload))
    except Invalid:
        return error.message
