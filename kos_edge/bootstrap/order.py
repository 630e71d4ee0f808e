"""An order to bootstrap again, from afar: signed by an issuer or an operator, fresh by a nonce of the target.

    order = COSE_Sign1 of {1: target, 2: nonce, 3: mode, 4: flags, 5: at}         (docs/protocol/bootstrap.cddl)

The target gives out a nonce, once and for a minute; an order without one of them is nothing, and so is the same one
again. So no clock is needed, and an order that somebody has recorded is good for nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from kos_edge.bootstrap.sequence import Mode
from kos_edge.errors import Invalid, Refused
from kos_edge.klp import cbor, cose
from kos_edge.klp.cose import Typ
from kos_edge.klp.identity import KID_BYTES, KeyPair
from kos_edge.mesh.claims import Role
from kos_edge.mesh.membership import Membership

NONCE_BYTES = 16
NONCE_LIFETIME_S = 60.0
"""Two round trips over the worst link that still carries a session."""
MAX_NONCES = 8
MAX_ORDER = 512
_KID = 4
_TARGET, _NONCE, _MODE, _FLAGS, _AT = 1, 2, 3, 4, 5
_FORCE, _CHECKS = 1, 2
_MODES = list(Mode)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done. `force`: also where nothing asks for it; `checks`: only if it is healthy (os-update)."""

    mode: Mode
    force: bool = False
    checks: bool = False


@dataclass(frozen=True, slots=True)
class Signed:
    """An order that was verified, with who gave it, when (seconds since 1970, 0 unknown), and its bytes."""

    order: Order
    giver: Membership
    at: int
    raw: bytes = field(repr=False)


def may_order(member: Membership) -> bool:
    """Whether this member's orders are obeyed: issuers' and operators', nobody else's."""
    return member.can_issue or member.role is Role.OPERATOR


def sign_order(order: Order, *, key: KeyPair, mesh: bytes, target: bytes, nonce: bytes, at: int) -> bytes:
    """The order, signed for this target and this nonce."""
    flags = (_FORCE if order.force else 0) | (_CHECKS if order.checks else 0)
    payload = cbor.encode(
        {_TARGET: target, _NONCE: nonce, _MODE: _MODES.index(order.mode), _FLAGS: flags, _AT: at}
    )
    return cose.sign1(payload, Typ.BOOTSTRAP_ORDER, key, external_aad=mesh, unprotected={_KID: key.kid})


class Nonces:
    """Those that a target has given out and that were not used yet. Times are monotonic seconds."""

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        self._random = random
        self._until: dict[bytes, float] = {}

    def give(self, now: float) -> bytes:
        """A new one; of more than MAX_NONCES the oldest is void."""
        self._expire(now)
        while len(self._until) >= MAX_NONCES:
            del self._until[next(iter(self._until))]
        nonce = self._random(NONCE_BYTES)
        self._until[nonce] = now + NONCE_LIFETIME_S
        return nonce

    def use(self, nonce: bytes, now: float) -> bool:
        """Whether it was given out, and is good; it is not any more."""
        self._expire(now)
        return self._until.pop(nonce, None) is not None

    def _expire(self, now: float) -> None:
        for nonce in [each for each, until in self._until.items() if until <= now]:
            del self._until[nonce]


def read_order(
    data: bytes,
    *,
    mesh: bytes,
    target: bytes,
    member: Callable[[bytes], Membership | None],
    nonces: Nonces,
    now: float,
) -> Signed:
    """The order in `data`, verified; its nonce is used up. `member` finds one that is in good standing by its kid.

    Raises Refused for an order that is not to be obeyed, Invalid for what is none.
    """
    signed = cose.read_sign1(data, limit=MAX_ORDER)
    kid = signed.unprotected.get(_KID)
    if type(kid) is not bytes or len(kid) != KID_BYTES:
        raise Invalid("an order says whose it is")
    giver = member(kid)
    if giver is None:
        raise Refused("the order is by nobody who is a member here")
    signed.verify(giver.public, typ=Typ.BOOTSTRAP_ORDER, external_aad=mesh)
    match cbor.decode(signed.payload, limit=MAX_ORDER):
        case {1: bytes(whom), 2: bytes(nonce), 3: int(mode), 4: int(flags), 5: int(at), **more}:
            if more or type(mode) is bool or not 0 <= mode < len(_MODES) or type(flags) is bool:
                raise Invalid("an order has a mode and flags that are known here")
            if not 0 <= flags <= (_FORCE | _CHECKS) or type(at) is bool or at < 0:
                raise Invalid("an order has a mode and flags that are known here")
        case _:
            raise Invalid("an order has a target, a nonce, a mode, flags and a time")
    if not may_order(giver):
        raise Refused(f"{giver.name} may not order this: only issuers and operators may")
    if whom != target:
        raise Refused("the order is for another node")
    if not nonces.use(nonce, now):
        raise Refused("the order is not fresh: its nonce was used, is too old, or was never given out")
    return Signed(Order(_MODES[mode], bool(flags & _FORCE), bool(flags & _CHECKS)), giver, at, data)
