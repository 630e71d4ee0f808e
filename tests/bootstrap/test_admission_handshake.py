"""Admission where it belongs: inside a handshake, between the hub's table and a newcomer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from kos_edge.bootstrap import credential as credentials
from kos_edge.bootstrap.admission import Admission, Admitted, Applicant, Mode, RefusedDecision
from kos_edge.bootstrap.carriage import Established, Identified, Post
from kos_edge.bootstrap.credential import Credential, Presented
from kos_edge.bootstrap.enrolment import EAD_3_LABELS, EAD_4_LABELS, Waiting, ask, check_hub, read_answer
from kos_edge.bootstrap.responders import Decision, Proven, Responders
from kos_edge.bootstrap.session import InitiatorHandshake
from kos_edge.errors import Refused
from kos_edge.klp.identity import KeyPair
from kos_edge.mesh.authority import Authority
from kos_edge.mesh.claims import Role
from kos_edge.mesh.invitation import Invitations
from kos_edge.mesh.known_keys import KnownKeys
from kos_edge.mesh.membership import Membership
from kos_edge.mesh.token import Token
from tests.bootstrap.people import Place
from tests.mesh.world import AUTHORITY, HUB, LAMP, OTHER_AUTHORITY, PUMP, T0, chance, hub

HERE = Place("10.0.0.7")


@dataclass(slots=True)
class Hub:
    """A hub's side, joined as a node joins it."""

    mode: Mode = Mode.APPROVAL
    authority: Authority = AUTHORITY
    admission: Admission = field(init=False)
    responders: Responders = field(init=False)
    now: float = 0.0
    newcomers: Callable[[int], bytes] = field(default_factory=lambda: chance(8))
    """Randomness of whoever calls: another key in every handshake."""

    def __post_init__(self) -> None:
        issuer = hub(HUB, "hub", self.authority)
        invitations = Invitations(issuer.mesh, HUB.kid, random=chance(5))
        self.admission = Admission(issuer, invitations, KnownKeys(), mode=self.mode)
        self.responders = Responders(
            HUB,
            credentials.kcwt(issuer.membership.cwt),
            trust=self._trust,
            decide=self._decide,
            is_taken=lambda _: False,
            understood=EAD_3_LABELS,
            random=chance(6),
        )

    def _trust(self, presented: Presented) -> Identified:
        return Identified(presented.public, self.admission.identify(presented.kind, presented.cred, at=T0))

    def _decide(self, proven: Proven) -> Decision:
        assert proven.peer is None or isinstance(proven.peer, Membership)
        decision = self.admission.decide(
            Applicant(
                public=proven.presented.public,
                member=proven.peer,
                address=proven.address.origin,
                th_3=proven.binding.th_3,
                id_cred=proven.binding.id_cred,
                cred=proven.binding.cred,
                ead_3=proven.ead,
                combined=proven.combined,
            ),
            now=self.now,
            at=T0,
        )
        if isinstance(decision, RefusedDecision):
            raise decision.error()
        if isinstance(decision, Admitted):
            return Decision(decision.membership, decision.ead_4)
        return Decision(None, decision.ead_4, session=False)


def join(
    at: Hub,
    who: KeyPair = PUMP,
    *,
    token: Token | None = None,
    mesh: bytes | None = None,
    shows: Credential | None = None,
) -> Membership | Waiting | None:
    """The newcomer's side of one whole handshake, and what it learns."""
    wanted = token.mesh if token else mesh
    pinned: list[bytes] = []

    def trust(presented: Presented) -> Identified:
        found, membership = check_hub(
            presented.kind, presented.cred, mesh=wanted, hub=token.hub if token else None
        )
        pinned.append(found)
        return Identified(presented.public, membership)

    handshake = InitiatorHandshake(
        who,
        shows or credentials.kccs(who.public),
        trust=trust,
        is_taken=lambda _: False,
        now=at.now,
        ead_3=lambda bound: ask(
            Role.EDGE, "pump", th_3=bound.th_3, id_cred=bound.id_cred, cred=bound.cred, token=token
        ),
        understood=EAD_4_LABELS,
        random=at.newcomers,
    )
    step: Post | Established = handshake.start()
    while isinstance(step, Post):
        reply = at.responders.receive(HERE, step.payload, at.now, echo=step.echo).reply
        assert reply is not None
        step = handshake.receive(reply.code, reply.payload, at.now, echo=reply.echo)
    return read_answer(step.ead, mesh=pinned[0], public=who.public)


def test_a_token_brings_a_newcomer_in_with_one_handshake() -> None:
    at = Hub(Mode.CLOSED)
    token = Token.parse(at.admission.invitations.invite(now=0).text)
    mine = join(at, token=token)
    assert isinstance(mine, Membership)
    assert (mine.kid, mine.name) == (PUMP.kid, "pump")
    assert join(at, token=token) == mine
    assert join(at, shows=credentials.kcwt(mine.cwt), mesh=AUTHORITY.mesh) is None


def test_a_token_of_another_mesh_is_noticed_before_the_newcomer_shows_anything() -> None:
    token = Hub().admission.invitations.invite(now=0)
    elsewhere = Hub(authority=OTHER_AUTHORITY)
    with pytest.raises(Refused, match="this hub belongs to another mesh"):
        join(elsewhere, token=token)
    assert elsewhere.admission.pending(0) == ()


def test_waiting_approval_and_the_next_handshake() -> None:
    at = Hub()
    assert join(at, mesh=AUTHORITY.mesh) == Waiting(5, 600)
    at.now = 5.0
    assert join(at) == Waiting(5, 600)
    membership = at.admission.approve(PUMP.kid, now=at.now, at=T0)
    assert join(at) == membership


def test_a_refusal_reaches_the_newcomer_with_its_reason() -> None:
    at = Hub(Mode.CLOSED)
    with pytest.raises(Refused, match="takes nobody without a token"):
        join(at)
    token = at.admission.invitations.invite(now=0)
    join(at, token=token)
    with pytest.raises(Refused, match="used up"):
        join(at, LAMP, token=token)
    at.admission.issuer.revoke(PUMP.kid, "sold", at=T0)
    with pytest.raises(Refused, match="revoked"):
        join(at, token=token)
