"""The issuer's machine: who is admitted, under what name, and who is shut out again.

An issuer is a hub whose own membership the authority signed. It holds no state besides its key: what it said
is in the roster and in the revocations, which whoever runs it has on disk before an answer leaves the house.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from kos_edge.errors import Invalid, Misuse, Refused
from kos_edge.klp.cose import Typ
from kos_edge.klp.identity import KeyPair, check_public, kid_of, kid_text
from kos_edge.mesh.claims import Claims, Role, capability_list, check_name
from kos_edge.mesh.membership import Membership, Seal, Standing, issuer_seal, verify_membership
from kos_edge.mesh.revocation import Revocations, sign_revocation
from kos_edge.mesh.roster import Roster

DAY_S = 86_400
MEMBER_LIFETIME_S = 365 * DAY_S
"""A member that has not met an issuer for a year has to be looked at; renewal begins 4 months before."""

SERIAL_BYTES = 8
ROLES = (Role.EDGE, Role.RELAY, Role.OPERATOR)
"""What an issuer may make of a key. Hubs are made by the authority."""


class Issuer:
    """Admits, renames, renews and revokes members. Times (`at`): seconds since 1970, None if unknown."""

    def __init__(
        self,
        key: KeyPair,
        membership: Membership,
        mesh: bytes,
        roster: Roster,
        revocations: Revocations,
        *,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        if membership.public != key.public or not membership.can_issue:
            raise Misuse("an issuer needs its own key and a membership with the capability to issue")
        self.membership = membership
        self.roster = roster
        self.revocations = revocations
        self._random = random
        self._seal = issuer_seal(key, membership, mesh)
        roster.add(membership)

    @property
    def kid(self) -> bytes:
        return self.membership.kid

    @property
    def mesh(self) -> bytes:
        return self._seal.mesh

    @property
    def seal(self) -> Seal:
        """What signs for the mesh: for the policy, and what later floors sign as an issuer."""
        return self._seal

    def admit(
        self,
        public: bytes,
        name: str,
        role: Role,
        *,
        at: float | None,
        capabilities: Iterable[str] = (),
        namespace: str = "device",
        lifetime_s: float = MEMBER_LIFETIME_S,
    ) -> Membership:
        """Make the key a member and list it. Again with nothing new, it is the same membership as before.

        Raises Refused for a revoked key, a name that another member holds, or a role that is not the issuer's
        to give; Invalid for a bad key, name or capability.
        """
        check_public(public)
        kid = kid_of(public)
        wanted = capability_list(capabilities)
        if role not in ROLES:
            raise Refused(f"an issuer cannot make a {role.text}", hint="the authority does: kos-edge hub add")
        if self.revocations.is_revoked(kid):
            raise Refused(f"the key {kid_text(kid, namespace)} is revoked", hint="it may join with a new key")
        known = self.roster.get(kid)
        if known is not None and known.standing is Standing.ISSUER:
            raise Refused(f"{known.name} is an issuer: its membership is the authority's to change")
        holder = self.roster.named(check_name(name))
        if holder is not None and holder.kid != kid:
            free = self.roster.free_name(name, kid)
            raise Refused(f"the name {name} is taken by {holder.text}", hint=f"{free} is free")
        if known is not None and known.issuer == self.kid and not known.renewal_due(at):
            same = (known.name, known.role, known.capabilities, known.namespace)
            if same == (name, role, wanted, namespace):
                return known
        return self._issue(public, name, role, wanted, namespace, known, at, lifetime_s)

    def rename(self, kid: bytes, name: str, *, at: float | None) -> Membership:
        """A new membership of the same key. Raises Refused as `admit`, Invalid for an unknown key."""
        known = self._known(kid)
        return self.admit(
            known.public, name, known.role, at=at, capabilities=known.capabilities, namespace=known.namespace
        )

    def renew(self, kid: bytes, *, at: float | None, lifetime_s: float = MEMBER_LIFETIME_S) -> Membership:
        """The membership again, with a new end; also one by another issuer, even if that was revoked since.

        Raises as `rename`.
        """
        known = self._known(kid)
        if self.revocations.is_revoked(kid):
            raise Refused(f"{known.name} is revoked")
        if known.standing is Standing.ISSUER:
            raise Refused(f"{known.name} is an issuer: its membership is the authority's to renew")
        if known.issued_at + 1 >= self.membership.not_after:
            return known  # no later one can be given, and this one is good for as long as the issuer is
        return self._issue(
            known.public, known.name, known.role, known.capabilities, known.namespace, known, at, lifetime_s
        )

    def revoke(self, kid: bytes, reason: str = "", *, at: float | None) -> bytes:
        """Shut a key out for good, member yet or not; the revocation is in the set already.

        Raises Refused for an issuer's key, Invalid for a reason that is too long. Again, it is the first one.
        """
        known = self.roster.get(kid)
        if kid == self.kid or (known is not None and known.standing is Standing.ISSUER):
            raise Refused(
                "an issuer cannot revoke an issuer",
                hint="the authority does: kos-edge hub replace NAME --stolen KID",
            )
        return revoke(self._seal, self.revocations, kid, reason, self._now(at))

    def _known(self, kid: bytes) -> Membership:
        known = self.roster.get(kid)
        if known is None:
            raise Invalid(f"no member has the key {kid_text(kid)}")
        return known

    def _issue(
        self,
        public: bytes,
        name: str,
        role: Role,
        capabilities: tuple[str, ...],
        namespace: str,
        known: Membership | None,
        at: float | None,
        lifetime_s: float,
    ) -> Membership:
        now = self._now(at)
        if now >= self.membership.not_after:  # a wrong clock, for a while: it must not stop the versions
            now = max(self.membership.issued_at, self.membership.not_after - int(lifetime_s))
        # The version must rise even where the clock does not.
        issued_at = max(now, known.issued_at + 1) if known else now
        if issued_at >= self.membership.not_after:
            raise Refused(
                "this hub's own membership ends before a new one could begin",
                hint="make another in its place: kos-edge hub replace",
            )
        since = known.not_before if known is not None and known.name == name else issued_at
        claims = Claims(
            issuer_namespace=self.membership.namespace,
            issuer=self.kid,
            name=name,
            not_after=min(issued_at + int(lifetime_s), self.membership.not_after),
            not_before=min(since, issued_at),
            issued_at=issued_at,
            serial=self._random(SERIAL_BYTES),
            public=public,
            role=role,
            capabilities=capabilities,
            namespace=namespace,
        )
        cwt = self._seal.sign(claims.to_wire(), Typ.MEMBERSHIP)
        membership = verify_membership(cwt, self.mesh, at=None, revoked=self.revocations.is_revoked)
        self.roster.add(membership)
        return membership

    def _now(self, at: float | None) -> int:
        """The time to write: never before this issuer's own membership, the least that it knows of time."""
        return max(int(at or 0), self.membership.issued_at)


def revoke(seal: Seal, revocations: Revocations, kid: bytes, reason: str, at: int) -> bytes:
    """Sign the next revocation of `seal`'s owner and add it to the set; the one there is, if there is one."""
    for known in revocations.of(kid):
        if known.issuer == seal.key.kid:
            return known.raw
    number = revocations.next_number(seal.key.kid)
    data = sign_revocation(seal, kid, number=number, reason=reason, at=at)
    revocations.add(data)
    return data
