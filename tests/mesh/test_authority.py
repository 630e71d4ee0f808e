from __future__ import annotations

import pytest

from kos_edge.errors import Invalid, Misuse, Refused
from kos_edge.klp import cbor, cose
from kos_edge.klp.cose import Typ
from kos_edge.mesh import rotation
from kos_edge.mesh.authority import Authority
from kos_edge.mesh.claims import Role
from kos_edge.mesh.issuer import Issuer
from kos_edge.mesh.membership import MAX_MEMBERSHIP, Standing, verify_membership
from kos_edge.mesh.revocation import Revocations
from kos_edge.mesh.roster import Roster
from kos_edge.mesh.rotation import MAX_ROTATIONS, OtherMesh, follow
from tests.mesh.world import AUTHORITY, HUB, PUMP, ROGUE, T0, chance, hub, key


def rotated(times: int) -> Authority:
    authority = AUTHORITY
    for number in range(times):
        authority = authority.rotate(at=T0 + number, random=chance(number))
    return authority


def test_the_mesh_id_is_the_hash_of_the_first_key_and_survives_rotation() -> None:
    assert rotated(3).mesh == AUTHORITY.mesh == rotation.mesh_id(AUTHORITY.key.public)
    assert rotated(3).key.public != AUTHORITY.key.public


def test_after_rotation_new_issuers_and_their_members_verify_from_the_first_hash() -> None:
    authority = rotated(2)
    membership = authority.issue_issuer(HUB.public, "hub", at=T0)
    revocations = Revocations(authority.mesh)
    issuer = Issuer(HUB, membership, authority.mesh, Roster(revocations.is_revoked), revocations)
    pump = issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    found = verify_membership(pump.cwt, AUTHORITY.mesh)
    assert (found.name, found.issuer) == ("pump", HUB.kid)
    assert verify_membership(membership.cwt, AUTHORITY.mesh).issuer == authority.kid


def test_any_flipped_byte_of_a_rotated_chain_is_rejected() -> None:
    cwt = rotated(2).issue_issuer(HUB.public, "hub", at=T0).cwt
    for at in range(len(cwt)):
        with pytest.raises(Invalid):
            verify_membership(cwt[:at] + bytes([cwt[at] ^ 0x55]) + cwt[at + 1 :], AUTHORITY.mesh)


def test_the_longest_chain_of_a_member_fits_a_handshake() -> None:
    authority = rotated(MAX_ROTATIONS)
    membership = authority.issue_issuer(HUB.public, "h" * 63, at=T0)
    revocations = Revocations(authority.mesh)
    issuer = Issuer(HUB, membership, authority.mesh, Roster(revocations.is_revoked), revocations)
    assert len(issuer.admit(PUMP.public, "p" * 63, Role.RELAY, at=T0).cwt) <= MAX_MEMBERSHIP
    with pytest.raises(Misuse):
        authority.rotate(at=T0)


def test_a_rotation_is_signed_by_the_key_before_it() -> None:
    forged = rotation.sign_rotation(ROGUE, ROGUE.public, mesh=AUTHORITY.mesh, number=1, at=T0)
    with pytest.raises(Invalid, match="signature"):
        follow(AUTHORITY.key.public, [forged], AUTHORITY.mesh)


def test_rotations_come_in_their_order_without_gaps_or_circles() -> None:
    first, second = rotated(2).rotations
    public, mesh = AUTHORITY.key.public, AUTHORITY.mesh
    assert len(follow(public, [first, second], mesh)) == 3
    for records in ([second], [second, first], [first, first], [first, b""], [first] * (MAX_ROTATIONS + 1)):
        with pytest.raises(Invalid):
            follow(public, records, mesh)
    back = rotation.sign_rotation(rotated(1).key, public, mesh=mesh, number=2, at=T0)
    with pytest.raises(Invalid, match="earlier key"):
        follow(public, [first, back], mesh)


def test_a_rotation_of_another_mesh_or_of_another_type_is_rejected() -> None:
    new = key(9).public
    for record in (
        rotation.sign_rotation(AUTHORITY.key, new, mesh=bytes(32), number=1, at=T0),
        cose.sign1(
            cbor.encode({1: new, 2: T0, 3: 1}), Typ.POLICY, AUTHORITY.key, external_aad=AUTHORITY.mesh
        ),
        cose.sign1(
            cbor.encode({1: new, 2: T0, 3: 1}),
            Typ.ROTATION,
            AUTHORITY.key,
            external_aad=AUTHORITY.mesh,
            unprotected={4: b""},
        ),
    ):
        with pytest.raises(Invalid):
            follow(AUTHORITY.key.public, [record], AUTHORITY.mesh)
    with pytest.raises(OtherMesh):
        follow(AUTHORITY.key.public, [], bytes(32))


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {1: key(9).public, 2: T0},
        {1: key(9).public, 2: T0, 3: 2},
        {1: key(9).public, 2: T0, 3: True},
        {1: key(9).public, 2: -1, 3: 1},
        {1: bytes(32), 2: T0, 3: 1},
        {1: "key", 2: T0, 3: 1},
        {1: key(9).public, 2: T0, 3: 1, 4: 0},
    ],
)
def test_a_rotation_that_breaks_a_rule_is_invalid(payload: dict[int, object]) -> None:
    record = cose.sign1(cbor.encode(payload), Typ.ROTATION, AUTHORITY.key, external_aad=AUTHORITY.mesh)
    with pytest.raises(Invalid):
        follow(AUTHORITY.key.public, [record], AUTHORITY.mesh)


def test_an_old_authority_key_is_good_until_its_successor_revokes_it() -> None:
    new = rotated(1)
    cwt = AUTHORITY.issue_issuer(ROGUE.public, "rogue-hub", at=T0 + 9).cwt
    revocations = Revocations(AUTHORITY.mesh)
    assert verify_membership(cwt, AUTHORITY.mesh, revoked=revocations.is_revoked)
    new.revoke(AUTHORITY.kid, "stolen", revocations, at=T0 + 10)
    with pytest.raises(Refused, match="successor"):
        verify_membership(cwt, AUTHORITY.mesh, revoked=revocations.is_revoked)
    good = new.issue_issuer(HUB.public, "hub", at=T0 + 11)
    assert verify_membership(good.cwt, AUTHORITY.mesh, revoked=revocations.is_revoked)


def test_an_old_authority_key_cannot_revoke_its_successor() -> None:
    new = rotated(1)
    revocations = Revocations(AUTHORITY.mesh)
    AUTHORITY.revoke(new.kid, "I was first", revocations, at=T0)
    good = new.issue_issuer(HUB.public, "hub", at=T0)
    assert verify_membership(good.cwt, AUTHORITY.mesh, revoked=revocations.is_revoked)


def test_the_authority_revokes_issuers_and_not_itself() -> None:
    revocations = Revocations(AUTHORITY.mesh)
    AUTHORITY.revoke(HUB.kid, "stolen", revocations, at=T0)
    assert revocations.is_revoked(HUB.kid, Standing.ISSUER)
    with pytest.raises(Misuse):
        AUTHORITY.revoke(AUTHORITY.kid, "", revocations, at=T0)


def test_an_issuers_membership_can_be_replaced_whatever_the_clock_says() -> None:
    first = hub().membership
    second = AUTHORITY.issue_issuer(HUB.public, "hub", at=0, known=first)
    assert second.rank > first.rank
    assert second.not_before == first.not_before
    assert AUTHORITY.issue_issuer(HUB.public, "attic", at=0, known=first).not_before == first.issued_at + 1


def test_a_created_authority_is_the_first_of_its_mesh() -> None:
    authority = Authority.create(chance(5))
    assert authority.mesh == rotation.mesh_id(authority.key.public)
    assert authority == Authority.create(chance(5))
    assert repr(authority.key.seed) not in repr(authority)


def test_an_authority_is_not_put_together_from_parts_that_do_not_fit() -> None:
    with pytest.raises(Misuse):
        Authority(ROGUE, AUTHORITY.key.public)
