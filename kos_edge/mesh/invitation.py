"""Invitations: the token that a person carries to a device, and what the hub remembers of it.

The device proves that it holds the token's secret without showing it (`redemption`), in one handshake and for
one key. Redeeming is idempotent per token and key, so a lost answer strands nobody.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kos_edge.errors import Invalid, Misuse, Refused, Unavailable
from kos_edge.klp import cbor
from kos_edge.klp.identity import KID_BYTES
from kos_edge.mesh.claims import Role, read_role, read_time
from kos_edge.mesh.token import Hint, Token

INFO = b"kos-edge invite 1"
MAC_BYTES = 32

MAX_INVITATIONS = 256
MAX_USES = 10_000
MAX_LIFETIME_S = 30 * 86_400.0
LIFETIME_S = 3_600.0
"""How long an invitation is good unless told otherwise: a person carries it across a room."""

KEPT_S = 86_400.0
"""How long an ended invitation is remembered: its late guest hears "expired", not "unknown"."""

ROLES = (Role.EDGE, Role.RELAY)
"""What an invitation makes of its guest unless told otherwise: a token found must not make an operator."""


def redemption(
    secret: bytes, *, th_3: bytes, id_cred: bytes, cred: bytes, token_id: bytes, role: Role, name: str
) -> bytes:
    """The 32 bytes that prove the secret of a token in this handshake, for this key, role and name.

    HMAC-SHA-256 (RFC 2104) keyed by HKDF-SHA-256 (RFC 5869) of the secret with an empty salt and `INFO`, over
    the deterministic CBOR array [TH_3, ID_CRED_I, CRED_I, token id, role, name].
    """
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=INFO).derive(secret)
    said = cbor.encode([th_3, id_cred, cred, token_id, int(role), name])
    return hmac.new(key, said, hashlib.sha256).digest()


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the hub knows of one token."""

    token_id: bytes
    secret: bytes = field(repr=False)
    roles: tuple[Role, ...]
    uses: int
    ends: float
    """Monotonic seconds at which it ends: time that has passed while this machine ran."""
    ends_at: int | None
    """Seconds since 1970 at which it ends as well, where the time was known when it was made."""
    guests: frozenset[bytes] = frozenset()
    """Kids that have redeemed it; they may again, for good."""
    replaces: bytes | None = None
    """The kid of the member whose place its guest takes: its name and role; that key is revoked."""

    def ended(self, now: float, at: float | None) -> bool:
        return now >= self.ends or (at is not None and self.ends_at is not None and at >= self.ends_at)

    @property
    def left(self) -> int:
        """How many keys may still redeem it."""
        return self.uses - len(self.guests)


class Invitations:
    """The invitations of one hub. `now`: monotonic seconds; `at`: time floor, seconds since 1970 or None."""

    def __init__(self, mesh: bytes, hub: bytes, *, random: Callable[[int], bytes] = os.urandom) -> None:
        self._mesh = mesh
        self._hub = hub
        self._random = random
        self._invitations: dict[bytes, Invitation] = {}

    def __len__(self) -> int:
        return len(self._invitations)

    def open(self, now: float, at: float | None) -> tuple[Invitation, ...]:
        """Those that somebody new may still redeem, the first to end first."""
        usable = (item for item in self._invitations.values() if item.left and not item.ended(now, at))
        return tuple(sorted(usable, key=lambda item: (item.ends, item.token_id)))

    def invite(
        self,
        *,
        now: float,
        wall: float | None = None,
        uses: int = 1,
        lifetime_s: float = LIFETIME_S,
        roles: Iterable[Role] = ROLES,
        hints: Iterable[Hint] = (),
        mesh_name: str = "",
        replaces: bytes | None = None,
    ) -> Token:
        """A new token. `wall` is the time in seconds since 1970 if it is *known*, not a floor.

        Raises Invalid for values out of bounds, Unavailable when MAX_INVITATIONS are open.
        """
        allowed = tuple(sorted(set(roles)))
        if not 1 <= uses <= MAX_USES:
            raise Invalid(f"an invitation is good for 1 to {MAX_USES} uses, not {uses}")
        if not 0 < lifetime_s <= MAX_LIFETIME_S:
            raise Invalid(f"an invitation lasts at most {MAX_LIFETIME_S / 86_400:.0f} days")
        if not allowed or Role.HUB in allowed:
            raise Invalid("an invitation is for edges, relays or operators; hubs are made by the authority")
        if replaces is not None and uses != 1:
            raise Invalid("an invitation to take a member's place is for one")
        self._forget(now)
        if len(self._invitations) >= MAX_INVITATIONS:
            raise Unavailable(f"{MAX_INVITATIONS} invitations are remembered", hint="withdraw some")
        ends_at = None if wall is None else int(wall + lifetime_s)
        token = Token(
            mesh=self._mesh,
            hub=self._hub,
            token_id=self._random(8),
            secret=self._random(16),
            hints=tuple(hints),
            mesh_name=mesh_name,
            expires_at=ends_at,
        )
        self._invitations[token.token_id] = Invitation(
            token.token_id, token.secret, allowed, uses, now + lifetime_s, ends_at, replaces=replaces
        )
        return token

    def withdraw(self, token_id: bytes) -> bool:
        """End an invitation at once, also for its guests; whether there was one."""
        return self._invitations.pop(token_id, None) is not None

    def check(
        self,
        mac: bytes,
        *,
        kid: bytes,
        th_3: bytes,
        id_cred: bytes,
        cred: bytes,
        token_id: bytes,
        role: Role,
        name: str,
        now: float,
        at: float | None,
    ) -> Invitation:
        """The invitation that this key may redeem for this role and name; nothing is changed, see `redeemed`.

        Raises Refused, which tells a guest who does not hold the secret nothing but that.
        """
        invitation = self._invitations.get(token_id)
        secret = invitation.secret if invitation else bytes(16)
        expected = redemption(
            secret, th_3=th_3, id_cred=id_cred, cred=cred, token_id=token_id, role=role, name=name
        )
        if not hmac.compare_digest(expected, mac) or invitation is None:
            raise Refused("this hub knows no such token", hint="ask for a new one: kos-edge invite")
        if role not in invitation.roles:
            can = " or ".join(role.text for role in invitation.roles)
            raise Refused(f"the token is for {can}, not for {role.text}")
        if kid not in invitation.guests:
            if invitation.ended(now, at):
                raise Refused("the token has expired", hint="ask for a new one: kos-edge invite")
            if not invitation.left:
                raise Refused("the token is used up", hint="ask for a new one: kos-edge invite")
        return invitation

    def redeemed(self, token_id: bytes, kid: bytes) -> bool:
        """Note that the key redeemed the token; whether that was new. Raises Misuse for an unknown one."""
        invitation = self._invitations.get(token_id)
        if invitation is None:
            raise Misuse("a token was redeemed that was not checked")
        if kid in invitation.guests:
            return False
        self._invitations[token_id] = replace(invitation, guests=invitation.guests | {kid})
        return True

    def to_wire(self, now: float) -> bytes:
        """All of it, for storing; holds the secrets. Time left counts on from here, in elapsed time."""
        self._forget(now)
        return cbor.encode(
            [
                [
                    item.token_id,
                    item.secret,
                    [int(role) for role in item.roles],
                    item.uses,
                    max(-int(KEPT_S), int(item.ends - now)),
                    item.ends_at,
                    sorted(item.guests),
                    *([] if item.replaces is None else [item.replaces]),
                ]
                for _, item in sorted(self._invitations.items())
            ]
        )

    @classmethod
    def from_wire(
        cls, data: bytes, mesh: bytes, hub: bytes, *, now: float, random: Callable[[int], bytes] = os.urandom
    ) -> Invitations:
        """What was stored. Raises Invalid."""
        items = cbor.decode(data, limit=len(data), items=MAX_INVITATIONS * (MAX_USES + 16))
        if type(items) is not list or len(items) > MAX_INVITATIONS:
            raise Invalid("stored invitations are an array")
        invitations = cls(mesh, hub, random=random)
        for item in items:
            invitation = _read(item, now)
            invitations._invitations[invitation.token_id] = invitation
        return invitations

    def _forget(self, now: float) -> None:
        gone = [token_id for token_id, item in self._invitations.items() if now >= item.ends + KEPT_S]
        for token_id in gone:
            del self._invitations[token_id]


def _read(value: object, now: float) -> Invitation:
    match value:
        case [
            bytes(token_id),
            bytes(secret),
            list(roles),
            int(uses),
            int(left),
            ends_at,
            list(guests),
            *place,
        ]:
            kids = [*guests, *place]
            replaces = place[0] if len(place) == 1 and isinstance(place[0], bytes) else None
            if not all(type(kid) is bytes and len(kid) == KID_BYTES for kid in kids) or len(secret) != 16:
                raise Invalid("a stored invitation is damaged")
            return Invitation(
                token_id,
                secret,
                tuple(read_role(role) for role in roles),
                uses,
                now + left,
                None if ends_at is None else read_time(ends_at),
                frozenset(guests),
                replaces,
            )
    raise Invalid("a stored invitation is damaged")
