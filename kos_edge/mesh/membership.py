"""Memberships: who a key is in this mesh, checked by anybody who holds the 32 bytes of the mesh id.

A membership is a CWT, signed as COSE_Sign1 typ 65002. It shows its signer in its unprotected header: the
issuer's own membership (13, `kcwt`), or the authority itself (-65537). The whole chain has at most these two
links, and `verify_membership` needs nothing else: no directory, no hub, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from kos_edge.errors import Invalid, Refused
from kos_edge.klp import cbor, cose
from kos_edge.klp.identity import KeyPair, check_public, kid_of, kid_text
from kos_edge.mesh import rotation
from kos_edge.mesh.claims import AUTHORITY_NAMESPACE, ISSUE, Claims, Role
from kos_edge.mesh.rotation import AUTHORITY_HEADER

KCWT = 13
"""COSE header label `kcwt` (RFC 9528 section 10.6): the issuer's membership."""

MAX_MEMBERSHIP = 4_096
"""Bytes of a whole chain: claims at their limits twice, and eight rotations of the authority, fit."""

WAS = "was:"
"""A member that has the capability `was:<32 hex>` had the key of that kid before."""

REPLACES = "replaces"
"""An issuer with this capability has taken the place of every earlier issuer of its name, by the authority's word."""

_FORMER = re.compile(r"was:[0-9a-f]{32}")

GRACE_S = 7 * 86_400.0
"""Seconds that a membership is still taken after its end: a hub may be away for a week and stop nobody."""


class Standing(IntEnum):
    """By what right a key acts. A revocation counts only if its signer may revoke keys of that standing."""

    MEMBER = 0
    ISSUER = 1
    AUTHORITY = 2


Revoked = Callable[[bytes, Standing], bool]
"""Is the key of this kid, acting with this standing, revoked? `Revocations.is_revoked` is one."""


def nobody_revoked(kid: bytes, standing: Standing) -> bool:
    """The answer of a verifier that knows of no revocation yet."""
    return False


@dataclass(frozen=True, slots=True)
class Membership:
    """What an issuer, and through it the authority, says of one key. Times are seconds since 1970."""

    kid: bytes
    public: bytes
    namespace: str
    name: str
    role: Role
    capabilities: tuple[str, ...]
    issuer: bytes
    """The kid of who signed: an issuer's, or the authority's."""
    authority: bytes
    """The kid of the authority's key at the end of the chain."""
    standing: Standing
    issued_at: int
    """Also the version: of two memberships of one key, the one issued later holds."""
    not_before: int
    """Since when this key has borne this name; kept when the membership is renewed. Never a ground to refuse:
    a floor below it proves nothing."""
    not_after: int
    serial: bytes
    cwt: bytes = field(repr=False)
    expired: bool = field(default=False, compare=False)
    """Whether it had ended, and the grace too, at the time floor that it was verified with. It is a
    membership still: local work goes on, and what is refused to it is the caller's choice."""

    @property
    def can_issue(self) -> bool:
        return ISSUE in self.capabilities

    @property
    def former(self) -> tuple[bytes, ...]:
        """The kids of the keys that this member had before, by its issuer's word."""
        return tuple(
            bytes.fromhex(text[len(WAS) :])
            for text in self.capabilities
            if _FORMER.fullmatch(text) is not None
        )

    @property
    def text(self) -> str:
        """`kid:<namespace>:<32 hex>`."""
        return kid_text(self.kid, self.namespace)

    @property
    def rank(self) -> tuple[int, int, bytes]:
        """Of two memberships of one key the higher rank holds: the authority's word first, then the later."""
        return (self.standing, self.issued_at, self.serial)

    def expired_at(self, floor: float | None, grace: float = GRACE_S) -> bool:
        """Whether it has ended for sure: `floor` is a time that has passed, None if none is known."""
        return floor is not None and floor >= self.not_after + grace

    def renewal_due(self, floor: float | None) -> bool:
        """Whether less than a third of its time is left."""
        return floor is not None and floor >= self.not_after - (self.not_after - self.issued_at) / 3


@dataclass(frozen=True, slots=True)
class Signatory:
    """Who signed something for the mesh: an issuer, or the authority itself."""

    public: bytes
    kid: bytes
    namespace: str
    standing: Standing
    membership: Membership | None
    """The issuer's own membership; None for the authority."""
    authority: tuple[bytes, ...]
    """The kids of the authority's keys, first to current, as shown by this chain."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What somebody who may sign for the mesh signs with: a key, and the header that shows its right."""

    key: KeyPair
    mesh: bytes
    header: dict[int | str, Any] = field(repr=False)

    def sign(self, payload: bytes, typ: cose.Typ) -> bytes:
        return cose.sign1(payload, typ, self.key, external_aad=self.mesh, unprotected=self.header)


def issuer_seal(key: KeyPair, membership: Membership, mesh: bytes) -> Seal:
    """The seal of an issuer."""
    return Seal(key, mesh, {KCWT: cbor.decode(membership.cwt, limit=MAX_MEMBERSHIP)})


def verify_membership(
    cwt: bytes,
    mesh: bytes,
    *,
    at: float | None = None,
    revoked: Revoked = nobody_revoked,
    grace: float = GRACE_S,
) -> Membership:
    """The membership in `cwt`, its whole chain verified up to `mesh`.

    `at` is the caller's time floor in seconds since 1970, None if it has none; it only decides `expired`.
    Raises OtherMesh for a chain of another mesh, Refused if a key in the chain is revoked, Invalid otherwise.
    """
    signed = cose.read_sign1(cwt, limit=MAX_MEMBERSHIP)
    membership, signatory = _verify(signed, mesh)
    refuse_revoked(signatory, revoked)
    if revoked(membership.kid, membership.standing):
        raise Refused(f"the membership of {membership.name} ({membership.text}) is revoked")
    if membership.expired_at(at, grace):
        return replace(membership, expired=True)
    return membership


def is_shut_out(membership: Membership, revoked: Revoked) -> bool:
    """Whether a membership that was verified once would be refused now: it or one above is revoked."""
    issuer = membership.standing is Standing.MEMBER and revoked(membership.issuer, Standing.ISSUER)
    authority = revoked(membership.authority, Standing.AUTHORITY)
    return issuer or authority or revoked(membership.kid, membership.standing)


def verify_signed(data: bytes, typ: cose.Typ, mesh: bytes, *, limit: int) -> tuple[bytes, Signatory]:
    """The payload of what an issuer or the authority signed as `typ`, and who signed it.

    Whether the signatory has been revoked since is left to the caller: see `refuse_revoked`.
    Raises Invalid (OtherMesh for another mesh).
    """
    signed = cose.read_sign1(data, limit=limit)
    signatory = _signatory(signed.unprotected, mesh)
    signed.verify(signatory.public, typ=typ, external_aad=mesh)
    return signed.payload, signatory


def refuse_revoked(signatory: Signatory, revoked: Revoked) -> None:
    """Raises Refused if the signatory, or the authority above it, is revoked."""
    if revoked(signatory.authority[-1], Standing.AUTHORITY):
        raise Refused("it rests on an authority key that its successor has revoked")
    if signatory.standing is Standing.ISSUER and revoked(signatory.kid, Standing.ISSUER):
        raise Refused(f"the issuer {kid_text(signatory.kid, signatory.namespace)} is revoked")


def claimed_mesh(cwt: bytes) -> bytes:
    """The mesh that a membership says it is of, unverified: for pinning at first use. Raises Invalid."""
    unprotected = cose.read_sign1(cwt, limit=MAX_MEMBERSHIP).unprotected
    if set(unprotected) == {KCWT}:
        unprotected = cose.read_sign1(_as_array(unprotected[KCWT])).unprotected
    if set(unprotected) != {AUTHORITY_HEADER}:
        raise Invalid("the membership does not show the authority")
    return rotation.claimed_mesh(unprotected[AUTHORITY_HEADER])


def _verify(signed: cose.Signed, mesh: bytes) -> tuple[Membership, Signatory]:
    signatory = _signatory(signed.unprotected, mesh)
    signed.verify(signatory.public, typ=cose.Typ.MEMBERSHIP, external_aad=mesh)
    claims = Claims.from_wire(signed.payload)
    check_public(claims.public)
    if (claims.issuer_namespace, claims.issuer) != (signatory.namespace, signatory.kid):
        raise Invalid("iss is not the one who signed")
    kid = claims.kid
    if kid in (*signatory.authority, signatory.kid):
        raise Invalid("a membership of the key that signed it, or of the authority's")
    if signatory.membership is None:
        _check_issuer(claims)
    else:
        _check_member(claims, signatory.membership)
    membership = Membership(
        kid=kid,
        public=claims.public,
        namespace=claims.namespace,
        name=claims.name,
        role=claims.role,
        capabilities=claims.capabilities,
        issuer=claims.issuer,
        authority=signatory.authority[-1],
        standing=Standing.ISSUER if signatory.membership is None else Standing.MEMBER,
        issued_at=claims.issued_at,
        not_before=claims.not_before,
        not_after=claims.not_after,
        serial=claims.serial,
        cwt=signed.raw,
    )
    return membership, signatory


def _check_issuer(claims: Claims) -> None:
    """The authority makes issuers and nothing else."""
    if claims.role is not Role.HUB or ISSUE not in claims.capabilities:
        raise Invalid("the authority signs hubs that issue, and nobody else")


def _check_member(claims: Claims, issuer: Membership) -> None:
    """What an issuer, unlike the authority, may not say."""
    if claims.role is Role.HUB or ISSUE in claims.capabilities:
        raise Invalid("an issuer cannot make hubs or issuers: only the authority can")
    if claims.not_after > issuer.not_after:
        raise Invalid("a membership that outlasts its issuer's")


def _signatory(unprotected: dict[Any, Any], mesh: bytes) -> Signatory:
    """Who the unprotected header says has signed, its right verified. The chain ends after one issuer."""
    if set(unprotected) == {AUTHORITY_HEADER}:
        return _authority(unprotected[AUTHORITY_HEADER], mesh)
    if set(unprotected) != {KCWT}:
        raise Invalid("the unprotected header shows one signer: the issuer (13) or the authority (-65537)")
    signed = cose.read_sign1(_as_array(unprotected[KCWT]))
    if set(signed.unprotected) != {AUTHORITY_HEADER}:
        raise Invalid("the issuer's membership is not signed by the authority")
    issuer, above = _verify(signed, mesh)
    return Signatory(issuer.public, issuer.kid, issuer.namespace, Standing.ISSUER, issuer, above.authority)


def _authority(value: object, mesh: bytes) -> Signatory:
    keys = rotation.read_header(value, mesh)
    kids = tuple(kid_of(public) for public in keys)
    return Signatory(keys[-1], kids[-1], AUTHORITY_NAMESPACE, Standing.AUTHORITY, None, kids)


def _as_array(value: object) -> list[Any]:
    if type(value) is not list:
        raise Invalid("kcwt is not a COSE_Sign1")
    return value
