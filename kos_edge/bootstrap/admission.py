"""The hub's decision about whoever has proved a key in message_3: member, admitted, waiting, or refused.

A machine: values in, values out. What it decides changes the issuer's roster and the invitations; whoever
runs it writes those to disk, when `Admitted.changed` says so, before message_4 leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum

from kos_edge.bootstrap.enrolment import EadItem, Redeem, Waiting, Wish, ask_to_wait, give, read_wish
from kos_edge.bootstrap.quarantine import Candidate, Quarantine
from kos_edge.errors import Invalid, KosError, Refused, Unavailable
from kos_edge.klp.identity import kid_of
from kos_edge.mesh.claims import MAX_CAPABILITIES, Role
from kos_edge.mesh.invitation import Invitations
from kos_edge.mesh.issuer import Issuer
from kos_edge.mesh.known_keys import KnownKeys
from kos_edge.mesh.membership import WAS, Membership, Standing, verify_membership
from kos_edge.mesh.roster import resolve
from kos_edge.mesh.rotation import OtherMesh

POLL_AFTER_S = 5
"""How soon a waiting newcomer asks again: a person who has just said yes looks at the device."""


class Mode(StrEnum):
    """What happens to a newcomer with neither token nor known key."""

    CLOSED = "closed"
    APPROVAL = "approval"
    OPEN = "open"


class Way(Enum):
    """How somebody came in."""

    MEMBER = "showed its membership"
    AGAIN = "is a member and had not kept its membership"
    INVITATION = "redeemed an invitation"
    KNOWN_KEY = "has a key that was allowed"
    OPEN = "came while the mesh was open"
    REPLACED = "has taken a member's place with a new key"


class Reason(StrEnum):
    """Why somebody is refused, for programs; `RefusedDecision.text` is for people."""

    MALFORMED = "malformed"
    OTHER_MESH = "other-mesh"
    REVOKED = "revoked"
    TOKEN = "token"
    ROLE = "role"
    CLOSED = "closed"
    REJECTED = "rejected"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Applicant:
    """What message_3 proved, and what it asks for. `member` is what `Admission.identify` made of it."""

    public: bytes
    member: Membership | None
    address: str
    """The host that it came from, without the port: for bounds, never for trust."""
    th_3: bytes
    id_cred: bytes
    cred: bytes
    ead_3: tuple[EadItem, ...] = ()
    combined: bool = False
    """It came with a first request: there is no message_4 to say anything in."""

    @property
    def kid(self) -> bytes:
        return kid_of(self.public)


@dataclass(frozen=True, slots=True)
class Admitted:
    """Come in. `membership` is the newest of this key; `ead_4` gives it to whoever does not have it."""

    membership: Membership
    way: Way
    ead_4: tuple[EadItem, ...] = ()
    changed: bool = False
    """Whether the roster or the invitations have changed: to be on disk before the answer leaves."""
    asked: str = ""
    """The name that was asked for; where another was given, `membership.name` differs."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Wait: a person compares `words` with what the device shows."""

    candidate: Candidate
    ead_4: tuple[EadItem, ...]

    @property
    def words(self) -> str:
        return self.candidate.words


@dataclass(frozen=True, slots=True)
class RefusedDecision:
    """No. The text is one line and goes to the other side."""

    reason: Reason
    text: str

    def error(self) -> KosError:
        """What the handshake ends with: Unavailable if it may work later, else Refused."""
        return Unavailable(self.text) if self.reason is Reason.FULL else Refused(self.text)


Decision = Admitted | Pending | RefusedDecision


class _No(Exception):
    def __init__(self, reason: Reason, text: str) -> None:
        self.decision = RefusedDecision(reason, text)


class Admission:
    """Decides about everybody who knocks at this hub.

    `now` is monotonic seconds, `at` the time floor in seconds since 1970 or None if no time is known.
    """

    def __init__(
        self,
        issuer: Issuer,
        invitations: Invitations,
        known_keys: KnownKeys,
        *,
        mode: Mode = Mode.APPROVAL,
    ) -> None:
        self.issuer = issuer
        self.invitations = invitations
        self.known_keys = known_keys
        self.mode = mode
        self.quarantine = Quarantine()

    def identify(self, kind: str, cred: bytes, *, at: float | None) -> Membership | None:
        """Who shows this credential: a member of this mesh, or None for a newcomer's `kccs`.

        To be asked before the signature of message_3 is checked; changes nothing. Raises Refused for a
        revoked key or another mesh, Invalid for a membership that is none.
        """
        if kind != "kcwt":
            return None
        try:
            return verify_membership(
                cred, self.issuer.mesh, at=at, revoked=self.issuer.revocations.is_revoked
            )
        except OtherMesh:
            raise Refused("you are a member of another mesh", hint="leave it first: kos-edge leave") from None

    def decide(self, applicant: Applicant, *, now: float, at: float | None) -> Decision:
        """What becomes of somebody whose signature in message_3 was good. Never raises for what they did."""
        try:
            if self.issuer.revocations.is_revoked(applicant.kid, _standing(applicant)):
                raise _No(Reason.REVOKED, "this key is revoked")
            if applicant.member is not None:
                return self._member(applicant, applicant.member, at)
            return self._newcomer(applicant, now, at)
        except _No as no:
            return no.decision
        except Invalid as error:
            return RefusedDecision(Reason.MALFORMED, error.message)

    def pending(self, now: float) -> tuple[Candidate, ...]:
        """Who waits for a person, the longest first."""
        return self.quarantine.waiting(now)

    def who(self, text: str, now: float) -> bytes:
        """The kid of the one who waits and is meant by name, kid's beginning, or words. Raises Invalid."""
        waiting = self.quarantine.waiting(now)
        for candidate in waiting:
            if text.strip().lower() == candidate.words:
                return candidate.kid
        listed = ((candidate.kid, "device", candidate.name) for candidate in waiting)
        return resolve(text, listed, of="newcomer")

    def approve(
        self, kid: bytes, *, now: float, at: float | None, name: str | None = None, role: Role | None = None
    ) -> Membership:
        """Admit somebody who waits, as asked for or as told here; they hear of it at their next handshake.

        Raises Invalid if nobody with this key waits, Refused as `Issuer.admit` does.
        """
        candidate = self.quarantine.get(kid, now)
        if candidate is None:
            raise Invalid("nobody with this key is waiting", hint="kos-edge pending shows who is")
        if role is None and candidate.role is Role.OPERATOR:
            raise Refused(
                f"{candidate.name} asks to be an operator, who may administer this mesh",
                hint=f"if that is meant: kos-edge admit {candidate.name} --role operator",
            )
        wanted = self._name(kid, candidate.role, candidate.name) if name is None else name
        membership = self.issuer.admit(candidate.public, wanted, role or candidate.role, at=at)
        self.quarantine.release(kid)
        return membership

    def reject(self, kid: bytes, *, now: float) -> None:
        """Turn somebody away who waits: for ten minutes they are refused. Raises Invalid if nobody does."""
        if not self.quarantine.reject(kid, now):
            raise Invalid("nobody with this key is waiting", hint="kos-edge pending shows who is")

    def _member(self, applicant: Applicant, member: Membership, at: float | None) -> Decision:
        if member.public != applicant.public:
            raise Invalid("the membership is not of the key that signed")
        roster = self.issuer.roster
        changed = roster.add(member)
        newest = roster.get(member.kid) or member  # not the one shown, if it was renamed or renewed meanwhile
        if newest.standing is Standing.MEMBER and newest.renewal_due(at) and not applicant.combined:
            newest, changed = self.issuer.renew(member.kid, at=at), True
        news = give(newest) if newest.cwt != member.cwt and not applicant.combined else ()
        return Admitted(newest, Way.MEMBER, news, changed)

    def _newcomer(self, applicant: Applicant, now: float, at: float | None) -> Decision:
        wish = read_wish(applicant.ead_3) or Wish()
        if wish.role is Role.HUB:
            raise _No(Reason.ROLE, "a hub is made by the authority: kos-edge hub add")
        if wish.redeem is not None:
            return self._redeem(applicant, wish, wish.redeem, now, at)
        member = self.issuer.roster.get(applicant.kid)
        # What a revoked issuer said is no ground to let anybody in again: a person says so, or a token.
        if member is not None and not self.issuer.roster.revoked(member):
            due = member.standing is Standing.MEMBER and member.renewal_due(at)
            newest = self.issuer.renew(member.kid, at=at) if due else member
            return Admitted(newest, Way.AGAIN, give(newest), due, wish.name)
        known = self.known_keys.get(applicant.kid)
        if known is not None:
            return self._admit(
                applicant, Way.KNOWN_KEY, known.role, known.name or wish.name, known.namespace, at
            )
        if self.mode is Mode.OPEN and wish.role is not Role.OPERATOR:
            return self._admit(applicant, Way.OPEN, wish.role, wish.name, "device", at)
        if self.mode is Mode.CLOSED:
            raise _No(Reason.CLOSED, "this mesh takes nobody without a token: kos-edge invite makes one")
        return self._wait(applicant, wish, now)

    def _redeem(
        self, applicant: Applicant, wish: Wish, redeem: Redeem, now: float, at: float | None
    ) -> Decision:
        try:
            invitation = self.invitations.check(
                redeem.mac,
                kid=applicant.kid,
                th_3=applicant.th_3,
                id_cred=applicant.id_cred,
                cred=applicant.cred,
                token_id=redeem.token_id,
                role=wish.role,
                name=wish.name,
                now=now,
                at=at,
            )
        except Refused as error:
            raise _No(Reason.TOKEN, error.message) from None
        old = None if invitation.replaces is None else self.issuer.roster.get(invitation.replaces)
        if old is not None:
            admitted = self._succeed(applicant, old, at)
        else:
            admitted = self._admit(applicant, Way.INVITATION, wish.role, wish.name, "device", at)
        new = self.invitations.redeemed(redeem.token_id, applicant.kid)
        return replace(admitted, changed=admitted.changed or new)

    def _admit(
        self, applicant: Applicant, way: Way, role: Role, asked: str, namespace: str, at: float | None
    ) -> Admitted:
        """Make a member of it. One that is a member already keeps what is a person's to change."""
        kid = applicant.kid
        before = self.issuer.roster.get(kid)
        capabilities: tuple[str, ...] = ()
        if before is not None and not self.issuer.roster.revoked(before):
            namespace, capabilities = before.namespace, before.capabilities
        name = self._name(kid, role, before.name if before is not None else asked)
        try:
            membership = self.issuer.admit(
                applicant.public, name, role, at=at, capabilities=capabilities, namespace=namespace
            )
        except Refused as error:
            raise _No(Reason.ROLE, error.message) from None
        self.quarantine.release(kid)
        return Admitted(membership, way, give(membership), membership is not before, asked)

    def _succeed(self, applicant: Applicant, old: Membership, at: float | None) -> Admitted:
        """Put a new key in the place of a member's: its name, role and groups; the old key is revoked for good."""
        if applicant.kid == old.kid:
            raise _No(Reason.TOKEN, "this token is for a new key: kos-edge rekey makes one")
        try:
            self.issuer.revoke(old.kid, "replaced by a new key", at=at)
            former = [f"{WAS}{old.kid.hex()}", *(text for text in old.capabilities if text.startswith(WAS))]
            others = [text for text in old.capabilities if not text.startswith(WAS)]
            membership = self.issuer.admit(
                applicant.public,
                self.issuer.roster.free_name(old.name, applicant.kid),
                old.role,
                at=at,
                capabilities=[*others, *former[: MAX_CAPABILITIES - len(others)]],
                namespace=old.namespace,
            )
        except Refused as error:
            raise _No(Reason.ROLE, error.message) from None
        return Admitted(membership, Way.REPLACED, give(membership), True, old.name)

    def _wait(self, applicant: Applicant, wish: Wish, now: float) -> Decision:
        if self.quarantine.is_rejected(applicant.kid, now):
            raise _No(Reason.REJECTED, "a person has turned this device away")
        name = self._name(applicant.kid, wish.role, wish.name)
        try:
            candidate = self.quarantine.knock(applicant.public, wish.role, name, applicant.address, now)
        except Unavailable as error:
            raise _No(Reason.FULL, error.message) from None
        return Pending(candidate, ask_to_wait(Waiting(POLL_AFTER_S, int(candidate.until - now))))

    def _name(self, kid: bytes, role: Role, asked: str) -> str:
        """A free name: the one asked for, with -2, -3, … if taken; without one, role and kid make it."""
        return self.issuer.roster.free_name(asked or f"{role.text}-{kid.hex()[:6]}", kid)


def _standing(applicant: Applicant) -> Standing:
    return applicant.member.standing if applicant.member else Standing.MEMBER
