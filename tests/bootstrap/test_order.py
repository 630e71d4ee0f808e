"""Orders from afar: obeyed when they are fresh and by one who may, and in no other case."""

from __future__ import annotations

import pytest
from cddl_verifier import Validator

from kos_edge.bootstrap.order import (
    MAX_NONCES,
    NONCE_LIFETIME_S,
    Nonces,
    Order,
    Signed,
    read_order,
    sign_order,
)
from kos_edge.bootstrap.sequence import Mode
from kos_edge.errors import Invalid, KosError, Refused
from kos_edge.klp import cbor, cose
from kos_edge.klp.cose import Typ
from kos_edge.klp.identity import KeyPair
from kos_edge.mesh.claims import Role
from kos_edge.mesh.membership import Membership
from tests.mesh.world import AUTHORITY, HUB, PUMP, T0, hub
from tests.vectors.check_cddl import PROTOCOL

ISSUER = hub()
MESH = AUTHORITY.mesh
LAPTOP = KeyPair.from_seed(b"l" * 32)
EDGE = KeyPair.from_seed(b"e" * 32)
ISSUER.admit(PUMP.public, "pump", Role.EDGE, at=T0)
ISSUER.admit(LAPTOP.public, "laptop", Role.OPERATOR, at=T0)
ISSUER.admit(EDGE.public, "other-edge", Role.EDGE, at=T0)
WISH = Order(Mode.RECOVERY, force=True, checks=True)


class Target:
    """The node `pump`, which hears orders."""

    def __init__(self) -> None:
        self.nonces = Nonces()

    def order(
        self, key: KeyPair = HUB, order: Order = WISH, *, mesh: bytes = MESH, target: bytes = PUMP.kid
    ) -> bytes:
        return sign_order(order, key=key, mesh=mesh, target=target, nonce=self.nonces.give(0.0), at=T0)

    def hears(self, data: bytes, now: float = 1.0) -> Signed:
        def member(kid: bytes) -> Membership | None:
            return ISSUER.roster.get(kid)

        return read_order(data, mesh=MESH, target=PUMP.kid, member=member, nonces=self.nonces, now=now)


@pytest.fixture
def target() -> Target:
    return Target()


@pytest.mark.parametrize("key", [HUB, LAPTOP], ids=["an issuer", "an operator"])
@pytest.mark.parametrize("order", [WISH, Order(Mode.DEFAULT), Order(Mode.MINIMAL, force=True)])
def test_who_may_is_obeyed(target: Target, key: KeyPair, order: Order) -> None:
    signed = target.hears(target.order(key, order))
    assert (signed.order, signed.giver.kid, signed.at) == (order, key.kid, T0)


def test_an_order_has_the_form_that_is_written_down(target: Target) -> None:
    validator = Validator(PROTOCOL / "bootstrap.cddl")
    assert validator.validate(target.order(), "order", require_deterministic=True)


@pytest.mark.parametrize(
    "key", [EDGE, PUMP, KeyPair.from_seed(b"s" * 32)], ids=["edge", "the target", "stranger"]
)
def test_nobody_else_is(target: Target, key: KeyPair) -> None:
    with pytest.raises(Refused):
        target.hears(target.order(key))


def test_the_same_order_again_is_refused(target: Target) -> None:
    data = target.order()
    target.hears(data)
    with pytest.raises(Refused, match="not fresh"):
        target.hears(data)


def test_an_order_of_yesterday_is_refused(target: Target) -> None:
    data = target.order()
    with pytest.raises(Refused, match="not fresh"):
        target.hears(data, NONCE_LIFETIME_S)


def test_an_order_with_a_nonce_that_nobody_gave_out_is_refused(target: Target) -> None:
    data = sign_order(WISH, key=HUB, mesh=MESH, target=PUMP.kid, nonce=bytes(16), at=T0)
    with pytest.raises(Refused, match="not fresh"):
        target.hears(data)


def test_an_order_for_another_node_or_another_mesh_is_refused_and_costs_no_nonce(target: Target) -> None:
    with pytest.raises(Refused, match="another node"):
        target.hears(target.order(target=EDGE.kid))
    with pytest.raises(Invalid):
        target.hears(target.order(mesh=bytes(32)))
    target.hears(target.order())


def test_one_who_asks_for_ever_more_nonces_gets_no_more_memory(target: Target) -> None:
    first = target.order()
    last = [target.order() for _ in range(MAX_NONCES)]
    with pytest.raises(Refused, match="not fresh"):
        target.hears(first)
    for data in last:
        target.hears(data)


def test_one_flipped_bit_anywhere_and_it_is_no_order(target: Target) -> None:
    data = target.order()
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 0x04
        with pytest.raises(KosError):
            target.hears(bytes(flipped))


@pytest.mark.parametrize(
    "change",
    [{1: None}, {2: 5}, {3: 9}, {3: True}, {3: -1}, {4: 4}, {4: -1}, {4: True}, {5: -1}, {5: None}, {6: 1}],
)
def test_a_form_that_is_none_is_refused_though_it_is_signed(
    target: Target, change: dict[int, object]
) -> None:
    wire = {1: PUMP.kid, 2: target.nonces.give(0.0), 3: 1, 4: 0, 5: T0} | change
    payload = cbor.encode({key: value for key, value in wire.items() if value is not None})
    data = cose.sign1(payload, Typ.BOOTSTRAP_ORDER, HUB, external_aad=MESH, unprotected={4: HUB.kid})
    with pytest.raises(Invalid):
        target.hears(data)


def test_what_an_issuer_signed_for_another_purpose_is_no_order(target: Target) -> None:
    payload = cose.read_sign1(target.order()).payload
    data = cose.sign1(payload, Typ.POLICY, HUB, external_aad=MESH, unprotected={4: HUB.kid})
    with pytest.raises(Invalid):
        target.hears(data)
