"""What people and tools may ask of a node: `control.protocol.Operations` over a running node, or over its state."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from kos_edge import __version__
from kos_edge.agents.agent import RESERVED
from kos_edge.agents.payload import payload_of
from kos_edge.control.letter_reports import DeadLetter, RetriedPart, RetryReport
from kos_edge.control.reports import (
    Delivered,
    Failure,
    ForecastReport,
    InvitationReport,
    JoinReport,
    Json,
    LeaveReport,
    MemberReport,
    PeerReport,
    PendingReport,
    PublishReport,
    QueueReport,
    RejectReport,
    RevokeReport,
    StatusReport,
    StopReport,
)
from kos_edge.control.wire import failure as failure_of
from kos_edge.discovery.interfaces import chosen, present
from kos_edge.errors import Invalid, KosError, Refused, Unavailable
from kos_edge.klp.body import Data, Payload
from kos_edge.klp.identity import fingerprint_words, kid_text
from kos_edge.klp.topic import check_filter, check_topic, matches
from kos_edge.mesh.claims import Role, check_name
from kos_edge.mesh.known_keys import KnownKey
from kos_edge.mesh.token import Hint, Token
from kos_edge.node import dead_letters, reporting
from kos_edge.node.addresses import parse_listen
from kos_edge.node.bootstrap_operations import NodeBootstrapOperations
from kos_edge.node.carry_operations import NodeCarryOperations
from kos_edge.node.feed import Missing
from kos_edge.node.handshakes import AskedToWait, Joined
from kos_edge.node.listening import kept_port
from kos_edge.node.node import Node
from kos_edge.node.vault_operations import NodeVaultOperations

_INVITED = (Role.EDGE, Role.RELAY)
"""What a token makes where nobody says more: whoever finds one must not administer the mesh."""


class NodeOperations(NodeVaultOperations, NodeCarryOperations, NodeBootstrapOperations):
    """`running`: the node is a daemon's; otherwise its state was opened for one command."""

    def __init__(self, node: Node, *, running: bool = True) -> None:
        NodeVaultOperations.__init__(self, node.vault, node.config)
        NodeCarryOperations.__init__(self, node)
        self._node = node
        self._running = running

    # -- looking

    async def status(self) -> StatusReport:
        """The node at a glance."""
        node, trust = self._node, self._node.trust
        if not self._running:
            node.vault.check()
        return StatusReport(
            state=str(node.state.path),
            version=__version__,
            name=trust.name,
            kid=kid_text(trust.kid),
            public=trust.key.public.hex(),
            words=trust.words,
            role=trust.role.text,
            mesh=None if trust.mesh is None else trust.mesh.hex(),
            membership=reporting.membership_word(trust, node.enrolment.waiting is not None),
            admission=None if trust.admission is None else trust.admission.mode.value,
            running=self._running,
            pid=os.getpid() if self._running else None,
            uptime_s=node.clock.monotonic() - node.started_at if self._running else None,
            epoch=node.writer.store.outbox.epoch if self._running else None,
            listening=[str(address) for address in node.endpoint.bound],
            peers_known=sum(member.kid != trust.kid for member in trust.roster),
            peers_connected=len(node.peers.links),
            queue=await self.queue(),
            journal=await reporting.journal(node),
            agents=reporting.agents(node),
            traffic=reporting.traffic(node),
            bootstrap=self.bootstrap_summary(),
            health="degraded" if reporting.troubles(node) else "good",
            warnings=reporting.warnings(node),
        )

    async def peers(self) -> list[PeerReport]:
        """Every node that this one knows."""
        return reporting.peers(self._node)

    # -- becoming a member

    async def join(self, *, token: str | None = None, mesh: str | None = None) -> JoinReport:
        """Enrol with a token, or with the mesh's hash; keeps the wish where no hub answers."""
        node, trust = self._node, self._node.trust
        if (token is None) == (mesh is None):
            raise Invalid("give either a token or the hash of a mesh")
        parsed = None if token is None else Token.parse(token)
        wanted = parsed.mesh if parsed is not None else _mesh_id(mesh or "")
        if trust.membership is not None and trust.mesh != wanted:
            raise Refused("this node is a member of another mesh", hint="kos-edge leave")
        if trust.membership is not None:
            return self._join_report("joined", wanted, None)
        wish = {"role": trust.role.text, "name": trust.name}
        wish |= {"token": parsed.text} if parsed is not None else {"mesh": wanted.hex()}
        before = trust.wish
        trust.want(wish)
        try:
            if not self._running and not node.endpoint.bound:
                await node.endpoint.start()
            outcome = await node.enrolment.attempt()
        except (Refused, Invalid):
            trust.want(before)
            await node.save()
            raise
        except Unavailable as error:
            await node.save()
            node.enrolment.news()
            return self._join_report("waiting", wanted, error.message)
        await node.save()
        if isinstance(outcome, AskedToWait):
            node.enrolment.news()
            return self._join_report(
                "pending", wanted, "a person has to let this node in: kos-edge pending, there"
            )
        return self._join_report("joined", outcome.mesh, None, outcome)

    def _join_report(
        self, word: str, mesh: bytes, reason: str | None, joined: Joined | None = None
    ) -> JoinReport:
        trust = self._node.trust
        member = trust.membership
        return JoinReport(
            outcome=word,  # type: ignore[typeddict-item]
            mesh=mesh.hex(),
            hub=joined.hub.name if joined is not None else None,
            name=trust.name if member is not None else None,
            role=trust.role.text if member is not None else None,
            words=trust.words,
            reason=reason,
            expires_at=None if member is None else reporting.time_text(member.not_after),
        )

    async def leave(self) -> LeaveReport:
        """Forget membership and wish."""
        node = self._node
        mesh = node.trust.mesh
        if node.trust.admission is not None:
            raise Refused(
                "this hub is its mesh's issuer: without it nobody could join", hint="make another hub first"
            )
        for session in node.endpoint.sessions:
            session.close("this node leaves its mesh")
        node.trust.leave()
        node.ring.clear()
        set_aside = await node.settling.give_up()
        await node.save()
        node.refresh()
        return LeaveReport(mesh=None if mesh is None else mesh.hex(), set_aside=set_aside)

    # -- admitting others

    async def invite(
        self,
        *,
        uses: int = 1,
        seconds: float | None = 3600.0,
        replaces: str | None = None,
        role: str | None = None,
    ) -> InvitationReport:
        """Make a token, for newcomers or for the new key of a member."""
        node = self._node
        admission = reporting.admission_of(node)
        place: dict[str, object] = {"roles": _INVITED if role is None else (Role.parse(role),)}
        if replaces is not None:
            member = node.trust.roster.get(self._who(replaces))
            assert member is not None
            if member.role is Role.HUB:
                raise Refused("a hub gets a new key from the authority", hint="kos-edge hub replace")
            place = {"replaces": member.kid, "roles": (member.role,)}
        hints = self._hints()
        lifetime = {} if seconds is None else {"lifetime_s": seconds}
        now = node.clock.monotonic()
        token = admission.invitations.invite(
            now=now,
            wall=node.trust.at(),
            uses=uses,
            hints=hints,
            **lifetime,  # type: ignore[arg-type]
            **place,  # type: ignore[arg-type]
        )
        node.trust.save_admission(now)
        await node.save()
        return InvitationReport(
            token=token.text,
            id=token.token_id.hex(),
            uses=uses,
            expires_at=None if token.expires_at is None else reporting.time_text(token.expires_at),
            hub=node.trust.name,
            mesh=token.mesh.hex(),
            addresses=[f"{hint.host}:{hint.port}" for hint in hints],
        )

    def _hints(self) -> list[Hint]:
        """Where this hub can be reached, the addresses that lead out of this machine first."""
        node = self._node
        port = (
            next((a.port for a in node.endpoint.bound if a.carrier == "udp"), None) if self._running else None
        )
        if port is None:
            port = kept_port(node.state.path)
        given = [parse_listen(text) for text in node.config.network.listen]
        hosts = [host for host, _ in given if host not in ("", "0.0.0.0", "::")]
        if given and given[0][1]:
            port = port or given[0][1]
        if not hosts:
            links = chosen(present(), node.config.network.interfaces)
            hosts = [host for link in links for host in link.ipv4]
            hosts += [host for link in links for host in link.ipv6 if not host.startswith("fe80")]
        return [Hint(host, port) for host in hosts[:4]] if port else []

    async def allow(self, *, public: str, role: str = "edge", name: str | None = None) -> MemberReport:
        """Let the owner of this key in when it comes."""
        node = self._node
        admission = reporting.admission_of(node)
        key = KnownKey(_public_key(public), Role.parse(role), check_name(name) if name else None)
        if node.trust.revocations.is_revoked(key.kid):
            raise Refused("this key is revoked, for good", hint="let the node make a new one")
        admission.known_keys.allow(key)
        node.trust.save_admission(node.clock.monotonic())
        await node.save()
        return MemberReport(
            kid=kid_text(key.kid), public=key.public.hex(), name=key.name, role=key.role.text, expires_at=None
        )

    async def pending(self) -> list[PendingReport]:
        """Newcomers in quarantine."""
        self._needs_daemon()
        node = self._node
        now = node.clock.monotonic()
        return [
            PendingReport(
                kid=kid_text(each.kid),
                public=each.public.hex(),
                words=fingerprint_words(each.public),
                name=each.name or None,
                role=each.role.text,
                address=each.address,
                since=reporting.ago(node, now - each.since),
                expires_at=reporting.ago(node, now - each.until),
            )
            for each in reporting.admission_of(node).pending(now)
        ]

    async def admit(self, *, who: str, role: str | None = None, name: str | None = None) -> MemberReport:
        """Make a newcomer a member."""
        self._needs_daemon()
        node = self._node
        admission = reporting.admission_of(node)
        now = node.clock.monotonic()
        kid = _or_refused(lambda: admission.who(who, now))
        member = admission.approve(
            kid, now=now, at=node.trust.at(), name=name, role=None if role is None else Role.parse(role)
        )
        node.trust.save(member)
        await node.save()
        return reporting.member(member)

    async def reject(self, *, who: str) -> RejectReport:
        """Send a newcomer away."""
        self._needs_daemon()
        node = self._node
        admission = reporting.admission_of(node)
        now = node.clock.monotonic()
        kid = _or_refused(lambda: admission.who(who, now))
        name = next((each.name for each in admission.pending(now) if each.kid == kid), None)
        admission.reject(kid, now=now)
        return RejectReport(kid=kid_text(kid), name=name or None)

    async def revoke(self, *, who: str, reason: str | None = None) -> RevokeReport:
        """Take a membership back; sessions with it end now."""
        node, trust = self._node, self._node.trust
        issuer = reporting.admission_of(node).issuer
        kid = self._who(who)
        issuer.revoke(kid, reason or "", at=trust.at())
        trust.save_admission(node.clock.monotonic())
        node.cut_off()  # in force from now on, even where the disk takes nothing
        await node.save()
        (revocation, *_) = trust.revocations.of(kid)
        return RevokeReport(
            kid=kid_text(kid),
            name=trust.name_of(kid),
            number=revocation.number,
            at=reporting.time_text(revocation.at),
            reason=reason,
        )

    async def rename(self, *, who: str, name: str) -> MemberReport:
        """Give a member another name."""
        node, trust = self._node, self._node.trust
        issuer = reporting.admission_of(node).issuer
        kid = self._who(who)
        if kid == trust.kid:
            raise Refused("a hub is named by the authority", hint="kos-edge init --name")
        member = issuer.rename(kid, name, at=trust.at())
        trust.save(member)
        await node.save()
        node.peers.tell_member(member)
        return reporting.member(member)

    def _who(self, text: str) -> bytes:
        return _or_refused(lambda: self._node.trust.roster.who(text))

    # -- the queue

    async def forecast(self) -> ForecastReport:
        """How the queue will go on."""
        return await self._node.forecasting.report()

    async def queue(self) -> QueueReport:
        """What this node still owes others."""
        return await reporting.queue(self._node)

    async def queue_dead(self) -> AsyncGenerator[DeadLetter, None]:
        """Dead letters, oldest first."""
        for letter in await self._node.writer.read(lambda store: store.records.dead()):
            yield dead_letters.report(letter)

    async def queue_retry(self, *, id: str) -> RetryReport:
        """Put a dead letter back in the queue, as a new message."""
        node = self._node
        letter = await node.writer.read(lambda store: store.records.letter(id))
        if letter is None:
            raise Refused(f"no dead letter has the id {id[:100]}", hint="kos-edge queue dead")
        await self._prepare_to_publish()
        future = dead_letters.retry(node, letter)
        if not self._running:
            await node.publisher.flush()
        return RetryReport(id=str(await future))

    async def queue_retry_all(self, *, topic: str = "#") -> AsyncGenerator[RetriedPart, None]:
        """Put all dead letters back in the queue, in order."""
        check_filter(topic)
        await self._prepare_to_publish()
        async with aclosing(dead_letters.retry_all(self._node, topic, running=self._running)) as parts:
            async for part in parts:
                yield part

    # -- messages

    async def publish(
        self, *, topic: str, values: list[Json], unit: str | None = None, ttl_s: float | None = None
    ) -> PublishReport:
        """Append the values in order; returns when they are durable."""
        check_topic(topic)
        if topic.split(".")[0] == RESERVED:
            raise Invalid(
                f"topics under {RESERVED}. are the system's own", hint="choose another first segment"
            )
        if ttl_s is not None and ttl_s < 1:
            raise Invalid("a ttl is at least one second")
        futures = []
        failure: Failure | None = None
        for value in values:
            try:
                futures.append(
                    self._node.publisher.enqueue(
                        topic,
                        _payload(value, unit),
                        ttl_s=None if ttl_s is None else round(ttl_s),
                        linger_s=0.0,
                    )
                )
            except KosError as error:
                failure = failure_of(error)
                break
        if futures:  # what is refused as a whole leaves no epoch behind
            await self._prepare_to_publish()
        if not self._running:
            await self._node.publisher.flush()
        ids: list[str] = []
        for future in futures:
            try:
                ids.append(str(await future))
            except KosError as error:
                failure = failure_of(error)
                break
        for future in futures[len(ids) + 1 :]:
            with contextlib.suppress(KosError):
                await future
        return PublishReport(ids=ids, failure=failure)

    async def _prepare_to_publish(self) -> None:
        await self._node.open_epoch()

    async def tail(self, *, filter: str = "#", from_start: bool = False) -> AsyncGenerator[Delivered, None]:
        """What this node receives and publishes; what was dropped or has expired too, whatever the filter."""
        check_filter(filter)
        if not self._running and not from_start:
            raise Unavailable("no daemon runs, so nothing new comes", hint="kos-edge run, or --from-start")
        after = 0 if from_start else await self._node.feed.last()
        async for heard in self._node.feed.everything(after, follow=self._running):
            if isinstance(heard, Missing):
                yield reporting.missing(self._node, heard)
            elif matches(filter, heard.delivery.topic):
                yield reporting.delivered(self._node, heard)

    async def export(
        self, *, topic: str = "#", since: float | None = None, until: float | None = None
    ) -> AsyncGenerator[Delivered, None]:
        """Messages kept whose time is in [since, until), and what is gone as far as that was learnt then."""
        check_filter(topic)
        async for heard in self._node.feed.everything(0, follow=False):
            if isinstance(heard, Missing):
                late = heard.at is not None and until is not None and heard.at >= until
                if not late and (heard.at is None or since is None or heard.at >= since):
                    yield reporting.missing(self._node, heard)
                continue
            at = heard.delivery.at
            outside = (since is not None or until is not None) and at is None
            if at is not None:
                outside = (since is not None and at < since) or (until is not None and at >= until)
            if not outside and matches(topic, heard.delivery.topic):
                yield reporting.delivered(self._node, heard)

    # -- the daemon

    async def stop(self) -> StopReport:
        """End the daemon in order."""
        self._needs_daemon()
        self._node.stop()
        return StopReport(pid=os.getpid())

    def _needs_daemon(self) -> None:
        if not self._running:
            raise Unavailable("this needs a running daemon", hint="kos-edge run")


def _payload(value: Json, unit: str | None) -> Payload:
    payload = payload_of(value, unit)
    return Data(None) if payload is None else payload


def _mesh_id(text: str) -> bytes:
    try:
        mesh = bytes.fromhex(text)
    except ValueError:
        mesh = b""
    if len(mesh) != 32:
        raise Invalid("the hash of a mesh is 64 hex digits", hint="kos-edge status, on the hub, shows it")
    return mesh


def _public_key(text: str) -> bytes:
    try:
        public = bytes.fromhex(text)
    except ValueError:
        public = b""
    if len(public) != 32:
        raise Invalid("a public key is 64 hex digits", hint="kos-edge status, on the newcomer, shows it")
    return public


def _or_refused(find: Callable[[], bytes]) -> bytes:
    """Who is meant; nobody of that name is a refusal, an ambiguous one is Invalid."""
    try:
        found: bytes = find()
    except Invalid as error:
        if error.message.startswith("no "):
            raise Refused(error.message, hint=error.hint) from None
        raise
    return found
