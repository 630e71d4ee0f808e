"""The authority: the key under which a mesh stands. It makes issuers, shuts out, and names its successor.

It is needed rarely and lives best away from every machine, as a recovery file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from kos_edge.errors import Misuse
from kos_edge.klp.cose import Typ
from kos_edge.klp.identity import KeyPair
from kos_edge.mesh import rotation
from kos_edge.mesh.claims import AUTHORITY_NAMESPACE, ISSUE, Claims, Role, capability_list
from kos_edge.mesh.issuer import DAY_S, SERIAL_BYTES, revoke
from kos_edge.mesh.membership import Membership, Seal, verify_membership
from kos_edge.mesh.revocation import Revocations

ISSUER_LIFETIME_S = 20 * 365 * DAY_S
"""No membership outlasts its issuer's, and renewing an issuer takes the authority out of its safe."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The current authority key of a mesh, and how it came to be that. Times (`at`): seconds since 1970."""

    key: KeyPair = field(repr=False)
    first_public: bytes
    """The first authority's key: its hash is the mesh id."""
    rotations: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if rotation.follow(self.first_public, self.rotations, self.mesh)[-1] != self.key.public:
            raise Misuse("this is not the key of the authority that its rotations lead to")

    @classmethod
    def create(cls, random: Callable[[int], bytes] = os.urandom) -> Authority:
        """The authority of a new mesh."""
        key = KeyPair.generate(random)
        return cls(key, key.public)

    @property
    def mesh(self) -> bytes:
        return rotation.mesh_id(self.first_public)

    @property
    def kid(self) -> bytes:
        return self.key.kid

    @property
    def seal(self) -> Seal:
        header: dict[int | str, Any] = {
            rotation.AUTHORITY_HEADER: rotation.header_value(self.first_public, self.rotations)
        }
        return Seal(self.key, self.mesh, header)

    def issue_issuer(
        self,
        public: bytes,
        name: str,
        *,
        at: float,
        known: Membership | None = None,
        namespace: str = "device",
        capabilities: Iterable[str] = (),
        lifetime_s: float = ISSUER_LIFETIME_S,
        random: Callable[[int], bytes] = os.urandom,
    ) -> Membership:
        """The membership of a hub that admits and revokes. `known` is the present one, to be replaced.

        Raises Invalid for a bad key or name. Whether the name is free, the caller's roster knows.
        """
        issued_at = max(int(at), known.issued_at + 1) if known else int(at)
        claims = Claims(
            issuer_namespace=AUTHORITY_NAMESPACE,
            issuer=self.kid,
            name=name,
            not_after=issued_at + int(lifetime_s),
            not_before=known.not_before if known is not None and known.name == name else issued_at,
            issued_at=issued_at,
            serial=random(SERIAL_BYTES),
            public=public,
            role=Role.HUB,
            capabilities=capability_list((ISSUE, *capabilities)),
            namespace=namespace,
        )
        return verify_membership(self.seal.sign(claims.to_wire(), Typ.MEMBERSHIP), self.mesh)

    def revoke(self, kid: bytes, reason: str, revocations: Revocations, *, at: float) -> bytes:
        """Shut out any key but the authority's own; the revocation is in the set already.

        Raises Misuse for its own key, Invalid for a reason that is too long. Again, it is the first one.
        """
        if kid == self.kid:
            raise Misuse("the authority cannot revoke itself: rotate it, and let the new key do it")
        return revoke(self.seal, revocations, kid, reason, int(at))

    def rotate(self, *, at: float, random: Callable[[int], bytes] = os.urandom) -> Authority:
        """The next authority of the same mesh: a new key, signed by this one, which stays good until revoked.

        Raises Misuse after MAX_ROTATIONS.
        """
        if len(self.rotations) >= rotation.MAX_ROTATIONS:
            raise Misuse(f"an authority can be rotated {rotation.MAX_ROTATIONS} times")
        new = KeyPair.generate(random)
        record = rotation.sign_rotation(
            self.key, new.public, mesh=self.mesh, number=len(self.rotations) + 1, at=int(at)
        )
        return Authority(new, self.first_public, (*self.rotations, record))
