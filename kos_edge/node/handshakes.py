"""Handshakes in both roles: who may have a session with this node, and how this node gets one.

The responder's decisions (a token redeemed, a newcomer waiting) are on disk before message_4 leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from kos_edge.bootstrap.admission import Admitted, Applicant, Pending
from kos_edge.bootstrap.carriage import Binding, Established, Identified, Post
from kos_edge.bootstrap.credential import Credential, Kind, Presented, kccs, kcwt
from kos_edge.bootstrap.enrolment import (
    EAD_3_LABELS,
    EAD_4_LABELS,
    EadItem,
    Waiting,
    ask,
    check_hub,
    read_answer,
)
from kos_edge.bootstrap.responders import Decision, Outcome, Proven, Responders
from kos_edge.bootstrap.session import Finish, InitiatorHandshake
from kos_edge.clock import Clock
from kos_edge.errors import Invalid, KosError, Misuse, Refused, Unavailable
from kos_edge.mesh.claims import Role
from kos_edge.mesh.membership import Membership
from kos_edge.mesh.token import Token
from kos_edge.node.trust import Trust
from kos_edge.said import Said
from kos_edge.transport.address import Address
from kos_edge.transport.coap import ECHO, POST, SERVICE_UNAVAILABLE, Request, Response
from kos_edge.transport.endpoint import Endpoint
from kos_edge.transport.session import Session
from kos_edge.transport.surface import EDHOC_PATH, Limiter

HANDSHAKE_TIMEOUT_S = (
    4.0  # for one request: a confirmable one is repeated after 2 to 3 s; then another try is better
)

LOUD_RATE, LOUD_BURST = (
    1 / 300,
    5.0,
)  # warnings about strangers at one host; the others are for those who debug

log = logging.getLogger(__name__)

Opened = Callable[[Session, Membership], None]


@dataclass(frozen=True, slots=True)
class Reached:
    """A session that we opened. `message_3` still has to travel in front of the first request."""

    session: Session
    peer: Membership
    message_3: bytes


@dataclass(frozen=True, slots=True)
class Joined:
    """This node is a member now."""

    mesh: bytes
    hub: Membership
    membership: Membership


@dataclass(frozen=True, slots=True)
class AskedToWait:
    """A person at the hub has to decide; ask again after `poll_after_s` seconds."""

    mesh: bytes
    hub: Membership
    poll_after_s: int
    forgotten_after_s: int


class TurnedAway(Refused):
    """The hub that was meant has said no: not some other device that is at its address now."""


class Handshakes:
    """Everything about EDHOC on this node. `opened` is told of sessions that others have opened with us."""

    def __init__(
        self,
        trust: Trust,
        clock: Clock,
        *,
        opened: Opened,
        save: Callable[[], Awaitable[None]],
        cut_off: Callable[[], None],
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._trust = trust
        self._clock = clock
        self._random = random
        self._opened = opened
        self._save = save
        self._cut_off = cut_off
        self._endpoint: Endpoint | None = None
        self._ours: set[bytes] = set()
        self._one_at_a_time = asyncio.Lock()
        self._responders = Responders(
            trust.key,
            self.credential(),
            trust=self._identify,
            decide=self._decide,
            is_taken=self._is_taken,
            understood=EAD_3_LABELS,
            random=random,
        )
        self._loud = Limiter(LOUD_RATE, LOUD_BURST)
        self.succeeded = 0
        self.failed = 0
        self.answered = 0

    def serve_on(self, endpoint: Endpoint) -> None:
        """The endpoint that carries the handshakes; to be called once, before it starts."""
        self._endpoint = endpoint

    @property
    def endpoint(self) -> Endpoint:
        if self._endpoint is None:
            raise Misuse("no endpoint carries the handshakes yet")
        return self._endpoint

    def credential(self) -> Credential:
        """What this node shows of itself: its membership, or its bare key as a newcomer."""
        member = self._trust.membership
        return kccs(self._trust.key.public, self._trust.name) if member is None else kcwt(member.cwt)

    def _is_taken(self, identifier: bytes) -> bool:
        return identifier in self._ours or self.endpoint.holds(identifier)

    def _is_taken_by_anybody(self, identifier: bytes) -> bool:
        return self._is_taken(identifier) or self._responders.holds(identifier)

    # -- the responder

    async def serve(self, address: Address, payload: bytes, echo: bytes | None) -> Response:
        """Answer a POST to `/.well-known/edhoc`."""
        if self._trust.membership is None:
            return Response(SERVICE_UNAVAILABLE)
        self._responders.credential = self.credential()
        async with (
            self._one_at_a_time
        ):  # a repeated message_3 must not get its answer before the decision is on disk
            outcome = self._responders.receive(
                address, payload, self._clock.monotonic(), echo=echo, reachable=address.connection is not None
            )
            await self._settle(address, outcome)
        return _response(outcome)

    async def combined(
        self, address: Address, kid: bytes, payload: bytes
    ) -> tuple[Session, bytes] | Response:
        """Finish a handshake that came with a first request (RFC 9668)."""
        async with self._one_at_a_time:
            outcome = self._responders.combined(address, kid, payload, self._clock.monotonic())
            if outcome.reply is not None:
                return _response(outcome)
            session = await self._settle(address, outcome)
        if session is None:
            known = [session for session in self.endpoint.sessions if session.recipient_id == kid]
            if not known:
                raise Unavailable("the session of this handshake has ended")
            session = known[0]
        return session, outcome.rest

    async def _settle(self, address: Address, outcome: Outcome) -> Session | None:
        established = outcome.established
        try:
            await self._save()
        except KosError:
            if established is not None:
                self._responders.forget(established.keys.recipient_id)
            raise
        if established is None:
            return None
        assert isinstance(established.peer, Membership)
        session = self.endpoint.add_session(address, established.keys, established.peer)
        self.answered += 1
        self._opened(session, established.peer)
        return session

    def _identify(self, presented: Presented) -> Identified:
        if presented.kind is Kind.KCWT:
            return Identified(presented.public, self._trust.check(presented.cred))
        if self._trust.admission is None:
            raise Refused("this node admits nobody", hint="join at the hub")
        return Identified(presented.public, None)

    def _decide(self, proven: Proven) -> Decision:
        """Who has proved a key: a member comes in; a newcomer is the hub's business."""
        now, at = self._clock.monotonic(), self._trust.at()
        admission = self._trust.admission
        self._trust.refuse_forked(proven.kid)
        member = proven.peer if isinstance(proven.peer, Membership) else None
        if admission is None:
            if member is None:
                raise Refused("this node admits nobody", hint="join at the hub")
            self._trust.learn(member)
            return Decision(member)
        applicant = Applicant(
            public=proven.presented.public,
            member=member,
            address=proven.address.origin,
            th_3=proven.binding.th_3,
            id_cred=proven.binding.id_cred,
            cred=proven.binding.cred,
            ead_3=tuple((item.label, item.value) for item in proven.ead),
            combined=proven.combined,
        )
        before = self._trust.shut_out
        decision = admission.decide(applicant, now=now, at=at)
        if self._trust.shut_out != before:
            self._cut_off()
        if isinstance(decision, Pending):
            log.log(
                self._level(applicant.address),
                "%s at %s wants to join: compare %s with its screen, then: kos-edge admit %s",
                decision.candidate.name or "a newcomer",
                applicant.address,
                decision.words,
                decision.candidate.kid.hex()[:8],
                extra=Said.WANTS_TO_JOIN.of(peer=decision.candidate.name or "", address=applicant.address),
            )
            return Decision(None, decision.ead_4, session=False)
        if not isinstance(decision, Admitted):
            level = self._level(applicant.address)
            log.log(
                level,
                "refused %s at %s: %s",
                proven.kid.hex()[:8],
                applicant.address,
                decision.text,
                extra=Said.NEWCOMER_REFUSED.of(address=applicant.address),
            )
            raise decision.error()
        if decision.changed:
            log.info(
                "%s (%s) %s",
                decision.membership.name,
                decision.membership.text,
                decision.way.value,
                extra=Said.ADMITTED.of(peer=decision.membership.name),
            )
            self._trust.save_admission(now)
            self._trust.save(decision.membership)
        elif member is not None:
            self._trust.learn(member)
        return Decision(decision.membership, decision.ead_4)

    def _level(self, host: str) -> int:
        """How loud to speak of a stranger: whoever knocks in a loop does not fill the log."""
        return logging.WARNING if self._loud.allow(host, self._clock.monotonic()) else logging.DEBUG

    # -- the initiator

    async def reach(
        self,
        address: Address,
        *,
        kid: bytes | None = None,
        expect: Callable[[Membership], bool] | None = None,
    ) -> Reached:
        """A session with the member at `address`: with this kid, or one that `expect` likes.

        Raises Refused (another device there, not trusted), Unavailable, Invalid.
        """

        def wanted(identified: Identified) -> bool:
            return expect is None or (isinstance(identified.peer, Membership) and expect(identified.peer))

        own, renewal = self._trust.membership, self._trust.renewal
        if own is None:
            raise Unavailable("this node has left its mesh")
        candidate, refusal = renewal.candidate, None
        if candidate is not None:
            try:
                return await self._reach(address, candidate, kid, wanted, explicit=True)
            except (Refused, Invalid) as error:
                refusal = error
        reached = await self._reach(address, own, kid, wanted, explicit=own.renewal_due(self._trust.at()))
        if refusal is not None and renewal.candidate is candidate:
            renewal.failed(refusal)
            await self._save()
        return reached

    async def _reach(
        self,
        address: Address,
        own: Membership,
        kid: bytes | None,
        wanted: Callable[[Identified], bool],
        *,
        explicit: bool,
    ) -> Reached:
        """The same, shown as `own`; `explicit` lets the peer say whether it accepts that, and give a newer one."""
        handshake = InitiatorHandshake(
            self._trust.key,
            kcwt(own.cwt),
            trust=self._recognise,
            is_taken=self._is_taken_by_anybody,
            now=self._clock.monotonic(),
            kid=kid,
            expect=wanted,
            finish=Finish.EXPLICIT if explicit else Finish.COMBINED,
            understood=EAD_4_LABELS,
            random=self._random,
        )
        with self._reserved(handshake.c_i):
            target, established = await self._converse(address, handshake)
            peer = established.peer
            assert isinstance(peer, Membership)
            if explicit and self._trust.mesh is not None:
                if own is self._trust.renewal.candidate:
                    self._trust.renewal.worked()
                answer = read_answer(
                    _items(established), mesh=self._trust.mesh, public=self._trust.key.public
                )
                if isinstance(answer, Membership):
                    self._trust.learn(answer)
            self._trust.learn(peer)
            if target.carrier != "tcp":
                self._trust.reached(peer.kid, target.host, target.port)
            await self._save()
            session = self.endpoint.add_session(target, established.keys, peer)
            self.succeeded += 1
            return Reached(session, peer, established.message_3 or b"")

    async def enrol(
        self, address: Address, *, mesh: bytes | None, token: Token | None, role: Role, name: str
    ) -> Joined | AskedToWait:
        """Ask the hub at `address` for a membership; the membership is stored when it is given.

        Raises TurnedAway, Refused (what is there is not the hub), Unavailable, Invalid.
        """
        found: dict[str, tuple[bytes, Membership]] = {}

        def recognise(presented: Presented) -> Identified:
            found["hub"] = check_hub(
                presented.kind.value,
                presented.cred,
                mesh=token.mesh if token else mesh,
                hub=token.hub if token else None,
                at=self._trust.at(),
            )
            return Identified(presented.public, found["hub"][1])

        def wish(binding: Binding) -> tuple[EadItem, ...]:
            return ask(role, name, th_3=binding.th_3, id_cred=binding.id_cred, cred=binding.cred, token=token)

        handshake = InitiatorHandshake(
            self._trust.key,
            kccs(self._trust.key.public, name),
            trust=recognise,
            is_taken=self._is_taken_by_anybody,
            now=self._clock.monotonic(),
            finish=Finish.EXPLICIT,
            ead_3=wish,
            understood=EAD_4_LABELS,
            random=self._random,
        )
        with self._reserved(handshake.c_i):
            try:
                target, established = await self._converse(address, handshake)
            except Refused as error:
                if not found:
                    raise
                hint = f"ask at the hub: kos-edge {'invite' if token else 'peers'}"
                raise TurnedAway(error.message, hint=error.hint or hint) from None
        self._drop(target)
        joined_mesh, hub = found["hub"]
        answer = read_answer(
            _items(established), mesh=joined_mesh, public=self._trust.key.public, at=self._trust.at()
        )
        if isinstance(answer, Waiting):
            return AskedToWait(joined_mesh, hub, answer.poll_after_s, answer.forgotten_after_s)
        if answer is None:
            raise Unavailable("the hub gave no answer to the wish to join")
        self._trust.become(joined_mesh, answer)
        self._trust.learn(hub)
        self._trust.reached(hub.kid, target.host, target.port)
        await self._save()
        return Joined(joined_mesh, hub, answer)

    def _recognise(self, presented: Presented) -> Identified:
        if presented.kind is not Kind.KCWT:
            raise Refused("found a device that is no member of this mesh at that address")
        return Identified(presented.public, self._trust.check(presented.cred))

    async def _converse(self, address: Address, handshake: InitiatorHandshake) -> tuple[Address, Established]:
        target = await self.endpoint.connect(address)
        try:
            step: Post | Established = handshake.start()
            while isinstance(step, Post):
                response = await self._post(target, step)
                step = handshake.receive(
                    response.code, response.payload, self._clock.monotonic(), echo=response.option(ECHO)
                )
        except KosError:
            self.failed += 1
            if handshake.farewell is not None:
                await self._say(target, handshake.farewell)
            self._drop(target)
            raise
        return target, step

    @contextlib.contextmanager
    def _reserved(self, identifier: bytes) -> Iterator[None]:
        """Nobody else gets this recipient id until the session has it."""
        self._ours.add(identifier)
        try:
            yield
        finally:
            self._ours.discard(identifier)

    def _drop(self, target: Address) -> None:
        if target.connection is not None:
            self.endpoint.disconnect(target)

    async def _post(self, target: Address, post: Post) -> Response:
        options = ((ECHO, post.echo),) if post.echo is not None else ()
        request = Request(POST, EDHOC_PATH, post.payload, post.content_format, options)
        return await self.endpoint.request_plain(target, request, timeout=HANDSHAKE_TIMEOUT_S)

    async def _say(self, target: Address, post: Post) -> None:
        try:
            await self._post(target, post)
        except KosError:
            log.debug("%s did not hear that the handshake is over", target)


def _items(established: Established) -> list[EadItem]:
    return [(item.label, item.value) for item in established.ead]


def _response(outcome: Outcome) -> Response:
    reply = outcome.reply
    assert reply is not None
    options = ((ECHO, reply.echo),) if reply.echo is not None else ()
    return Response(reply.code, reply.payload, reply.content_format, options, reachable=outcome.reachable)
