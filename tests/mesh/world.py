"""A mesh to test with: an authority, a hub, keys, all from fixed seeds."""

from __future__ import annotations

import random
from collections.abc import Callable

from kos_edge.klp.identity import KeyPair
from kos_edge.mesh.authority import Authority
from kos_edge.mesh.claims import Role
from kos_edge.mesh.issuer import Issuer
from kos_edge.mesh.membership import Membership
from kos_edge.mesh.revocation import Revocations
from kos_edge.mesh.roster import Roster

T0 = 1_800_000_000
"""When everything here happens: seconds since 1970."""

YEAR = 365 * 86_400


def chance(seed: int = 1) -> Callable[[int], bytes]:
    """Randomness that is the same every time."""
    return random.Random(seed).randbytes


def key(seed: int) -> KeyPair:
    return KeyPair.from_seed(bytes([seed]) * 32)


AUTHORITY = Authority(key(0xA0), key(0xA0).public)
OTHER_AUTHORITY = Authority(key(0xA1), key(0xA1).public)
HUB = key(0xB0)
SECOND_HUB = key(0xB1)
PUMP = key(0xC0)
LAMP = key(0xC1)
ROGUE = key(0xF0)


def hub(
    who: KeyPair = HUB,
    name: str = "hub",
    authority: Authority = AUTHORITY,
    *,
    at: float = T0,
    lifetime: int = 20 * YEAR,
) -> Issuer:
    """An issuer with a roster and revocations of its own."""
    membership = authority.issue_issuer(who.public, name, at=at, lifetime_s=lifetime, random=chance(2))
    revocations = Revocations(authority.mesh)
    roster = Roster(revocations.is_revoked)
    return Issuer(who, membership, authority.mesh, roster, revocations, random=chance(3))


def member(
    who: KeyPair = PUMP, name: str = "pump", role: Role = Role.EDGE, issuer: Issuer | None = None
) -> Membership:
    return (issuer or hub()).admit(who.public, name, role, at=T0)
