from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.errors import Invalid, Refused
from kos_edge.klp import cbor, cose
from kos_edge.klp.cose import Typ
from kos_edge.klp.identity import KeyPair, kid_text
from kos_edge.mesh.claims import ISSUE, Claims, Role, check_name, name_from
from kos_edge.mesh.membership import (
    GRACE_S,
    KCWT,
    MAX_MEMBERSHIP,
    Standing,
    claimed_mesh,
    issuer_seal,
    verify_membership,
)
from kos_edge.mesh.rotation import AUTHORITY_HEADER, OtherMesh, mesh_id
from tests.mesh.world import AUTHORITY, HUB, LAMP, OTHER_AUTHORITY, PUMP, ROGUE, T0, YEAR, hub, member

SMALL_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
]


def claims_of(**changed: Any) -> Claims:
    values: dict[str, Any] = {
        "issuer_namespace": "device",
        "issuer": HUB.kid,
        "name": "pump",
        "not_after": T0 + YEAR,
        "not_before": T0,
        "issued_at": T0,
        "serial": b"serial 8",
        "public": PUMP.public,
        "role": Role.EDGE,
        "capabilities": (),
        "namespace": "device",
    }
    return Claims(**values | changed)


def wire_claims(**changed: Any) -> dict[int, Any]:
    """The claims as a CBOR map, some of them changed by name."""
    names = {"iss": 1, "sub": 2, "exp": 4, "nbf": 5, "iat": 6, "cti": 7, "cnf": 8}
    names |= {"role": -65537, "capabilities": -65538, "namespace": -65539}
    claims: dict[int, Any] = cbor.decode(claims_of().to_wire())
    return claims | {names[name]: value for name, value in changed.items()}


def signed_by_hub(payload: bytes, typ: Typ = Typ.MEMBERSHIP, who: KeyPair = HUB) -> bytes:
    return cose.sign1(
        payload, typ, who, external_aad=AUTHORITY.mesh, unprotected={KCWT: cbor.decode(hub().membership.cwt)}
    )


def test_a_member_is_verified_with_the_mesh_id_alone() -> None:
    cwt = member().cwt
    found = verify_membership(cwt, AUTHORITY.mesh)
    assert (found.kid, found.public, found.name, found.role) == (PUMP.kid, PUMP.public, "pump", Role.EDGE)
    assert (found.issuer, found.standing, found.namespace) == (HUB.kid, Standing.MEMBER, "device")
    assert found.text == f"kid:device:{PUMP.kid.hex()}"
    assert found.cwt == cwt


def test_an_issuer_is_verified_with_the_mesh_id_alone() -> None:
    found = verify_membership(hub().membership.cwt, AUTHORITY.mesh)
    assert (found.role, found.capabilities, found.standing) == (Role.HUB, (ISSUE,), Standing.ISSUER)
    assert found.issuer == AUTHORITY.kid
    assert found.can_issue


def test_a_membership_fits_a_first_answer_of_three_times_256_bytes() -> None:
    assert len(member().cwt) < 560
    assert len(hub().membership.cwt) < 300


def test_any_flipped_byte_is_rejected() -> None:
    cwt = member().cwt
    for at in range(len(cwt)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = cwt[:at] + bytes([cwt[at] ^ flip]) + cwt[at + 1 :]
            with pytest.raises(Invalid):
                verify_membership(damaged, AUTHORITY.mesh)


def test_any_truncation_and_any_addition_is_rejected() -> None:
    cwt = member().cwt
    for end in range(len(cwt)):
        with pytest.raises(Invalid):
            verify_membership(cwt[:end], AUTHORITY.mesh)
    with pytest.raises(Invalid):
        verify_membership(cwt + b"\x00", AUTHORITY.mesh)


def test_a_membership_of_another_mesh_is_told_as_such() -> None:
    with pytest.raises(OtherMesh):
        verify_membership(member().cwt, OTHER_AUTHORITY.mesh)
    with pytest.raises(OtherMesh):
        verify_membership(hub().membership.cwt, OTHER_AUTHORITY.mesh)


def test_what_was_signed_for_another_mesh_does_not_pass_under_this_authority() -> None:
    cwt = cose.sign1(
        claims_of().to_wire(),
        Typ.MEMBERSHIP,
        HUB,
        external_aad=OTHER_AUTHORITY.mesh,
        unprotected={KCWT: cbor.decode(hub().membership.cwt)},
    )
    with pytest.raises(Invalid):
        verify_membership(cwt, AUTHORITY.mesh)


@pytest.mark.parametrize("typ", [typ for typ in Typ if typ is not Typ.MEMBERSHIP])
def test_what_was_signed_as_something_else_is_no_membership(typ: Typ) -> None:
    with pytest.raises(Invalid, match="type"):
        verify_membership(signed_by_hub(claims_of().to_wire(), typ), AUTHORITY.mesh)


@pytest.mark.parametrize(
    "protected", [{1: -7, 16: 65002}, {1: -8}, {16: 65002}, {1: -8, 16: 65002, 4: b""}, {1: 5, 16: 65002}]
)
def test_another_algorithm_or_header_is_rejected(protected: dict[int, Any]) -> None:
    parts = cbor.decode(member().cwt)
    with pytest.raises(Invalid):
        verify_membership(cbor.encode([cbor.encode(protected), *parts[1:]]), AUTHORITY.mesh)


@pytest.mark.parametrize("public", SMALL_ORDER, ids=lambda public: public.hex()[:8])
def test_a_small_order_key_is_no_member_no_issuer_and_no_authority(public: bytes) -> None:
    with pytest.raises(Invalid):
        verify_membership(
            signed_by_hub(cbor.encode(wire_claims(cnf={1: {1: 1, -1: 6, -2: public}}))), AUTHORITY.mesh
        )
    with pytest.raises(Invalid):
        AUTHORITY.issue_issuer(public, "hub", at=T0)
    parts = cbor.decode(hub().membership.cwt)
    with pytest.raises(Invalid, match="small order"):
        verify_membership(cbor.encode([parts[0], {AUTHORITY_HEADER: public}, *parts[2:]]), mesh_id(public))


def test_an_issuer_cannot_make_issuers() -> None:
    for role, capabilities in ((Role.HUB, (ISSUE,)), (Role.HUB, ()), (Role.EDGE, (ISSUE,))):
        claims = claims_of(role=role, capabilities=capabilities)
        with pytest.raises(Invalid, match="cannot make"):
            verify_membership(signed_by_hub(claims.to_wire()), AUTHORITY.mesh)


def test_the_authority_signs_issuers_and_nobody_else() -> None:
    for role, capabilities in ((Role.EDGE, ()), (Role.HUB, ()), (Role.EDGE, (ISSUE,))):
        claims = claims_of(
            issuer_namespace="authority", issuer=AUTHORITY.kid, role=role, capabilities=capabilities
        )
        with pytest.raises(Invalid, match="the authority signs hubs"):
            verify_membership(AUTHORITY.seal.sign(claims.to_wire(), Typ.MEMBERSHIP), AUTHORITY.mesh)


def test_a_member_cannot_sign_memberships() -> None:
    pump = member()
    claims = claims_of(issuer=PUMP.kid, public=LAMP.public, name="lamp")
    cwt = issuer_seal(PUMP, pump, AUTHORITY.mesh).sign(claims.to_wire(), Typ.MEMBERSHIP)
    with pytest.raises(Invalid, match="not signed by the authority"):
        verify_membership(cwt, AUTHORITY.mesh)


def test_a_stranger_cannot_borrow_a_hubs_chain() -> None:
    with pytest.raises(Invalid, match="signature"):
        verify_membership(signed_by_hub(claims_of().to_wire(), who=ROGUE), AUTHORITY.mesh)


@pytest.mark.parametrize(
    "iss",
    [
        kid_text(ROGUE.kid),
        kid_text(HUB.kid, "service"),
        kid_text(AUTHORITY.kid, "authority"),
        kid_text(HUB.kid).upper(),
        "hub",
    ],
)
def test_iss_is_the_one_who_signed(iss: str) -> None:
    with pytest.raises(Invalid):
        verify_membership(signed_by_hub(cbor.encode(wire_claims(iss=iss))), AUTHORITY.mesh)


@pytest.mark.parametrize("who", [HUB, AUTHORITY.key], ids=["issuer", "authority"])
def test_nobody_signs_a_membership_of_a_key_of_its_own_chain(who: KeyPair) -> None:
    with pytest.raises(Invalid, match="the key that signed it"):
        verify_membership(signed_by_hub(claims_of(public=who.public).to_wire()), AUTHORITY.mesh)


def test_a_membership_does_not_outlast_its_issuers() -> None:
    claims = claims_of(not_after=T0 + 21 * YEAR)
    with pytest.raises(Invalid, match="outlasts"):
        verify_membership(signed_by_hub(claims.to_wire()), AUTHORITY.mesh)
    short = hub(lifetime=30 * 86_400)
    assert short.admit(PUMP.public, "pump", Role.EDGE, at=T0).not_after == short.membership.not_after


BAD_CLAIMS: dict[str, Any] = {
    "iss": [None, 7, b"kid", "kid:device:00", "kid:nobody:" + "00" * 16],
    "sub": ["", "Pump", "-pump", "pump.", "p" * 64, "pümp", 7, None, b"pump"],
    "exp": [T0, T0 - 1, -1, 1.5, None, "never", 2**63, True],
    "nbf": [T0 + 1, -1, None, False],
    "iat": [T0 - 1, T0 + YEAR, None, 1.0],
    "cti": [b"", b"1234567", b"123456789", "12345678", None],
    "cnf": [
        None,
        {},
        {1: {}},
        {3: b"kid"},
        {1: {1: 1, -1: 6}},
        {1: {1: 1, -1: 6, -2: b"short"}},
        {1: {1: 1, -1: 6, -2: PUMP.public, 3: -8}},
        {1: {1: 1, -1: 4, -2: PUMP.public}},
        {1: {1: 2, -1: 6, -2: PUMP.public}},
        {1: {1: 1, -1: 6, -2: PUMP.public}, 3: b"kid"},
        {1: {1: True, -1: 6, -2: PUMP.public}},
        {1: {1: 1, -1: 6.0, -2: PUMP.public}},
    ],
    "role": [4, -1, None, "edge", True, 1.0],
    "capabilities": [
        None,
        "relay",
        ["b", "a"],
        ["a", "a"],
        [""],
        ["A"],
        [1],
        ["x"] * 17,
        [f"c{n:02}" for n in range(17)],
    ],
    "namespace": [None, "authority", "nobody", "", 1],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD_CLAIMS.items() for value in values]
)
def test_a_claim_that_breaks_a_rule_is_invalid(name: str, value: Any) -> None:
    with pytest.raises(Invalid):
        Claims.from_wire(cbor.encode(wire_claims(**{name: value})))


def test_a_claim_too_few_or_too_many_is_invalid() -> None:
    claims = wire_claims()
    for label in claims:
        with pytest.raises(Invalid):
            Claims.from_wire(cbor.encode({key: value for key, value in claims.items() if key != label}))
    with pytest.raises(Invalid):
        Claims.from_wire(cbor.encode(claims | {3: "audience"}))


@given(
    name=st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True),
    role=st.sampled_from([Role.EDGE, Role.RELAY, Role.OPERATOR]),
    capabilities=st.sets(st.from_regex(r"[a-z0-9][a-z0-9.:_-]{0,8}", fullmatch=True), max_size=16),
    namespace=st.sampled_from(["agent", "device", "service", "user"]),
    times=st.lists(st.integers(0, 2**32), min_size=3, max_size=3, unique=True).map(sorted),
    seed=st.binary(min_size=32, max_size=32),
)
def test_claims_survive_the_wire(
    name: str, role: Role, capabilities: set[str], namespace: str, times: list[int], seed: bytes
) -> None:
    claims = claims_of(
        name=name,
        role=role,
        capabilities=tuple(sorted(capabilities)),
        namespace=namespace,
        not_before=times[0],
        issued_at=times[1],
        not_after=times[2],
        public=KeyPair.from_seed(seed).public,
    )
    assert Claims.from_wire(claims.to_wire()) == claims


def test_expiry_is_a_property_and_judged_by_the_floor_alone() -> None:
    cwt = member().cwt
    end = T0 + YEAR
    assert not verify_membership(cwt, AUTHORITY.mesh, at=None).expired
    assert not verify_membership(cwt, AUTHORITY.mesh, at=0).expired
    assert not verify_membership(cwt, AUTHORITY.mesh, at=end + GRACE_S - 1).expired
    late = verify_membership(cwt, AUTHORITY.mesh, at=end + GRACE_S)
    assert late.expired
    assert late == verify_membership(cwt, AUTHORITY.mesh)
    assert verify_membership(cwt, AUTHORITY.mesh, at=end, grace=0).expired


def test_a_floor_before_the_beginning_refuses_nobody() -> None:
    assert not verify_membership(member().cwt, AUTHORITY.mesh, at=1.0).expired


def test_renewal_is_due_in_the_last_third() -> None:
    pump = member()
    assert not pump.renewal_due(None)
    assert not pump.renewal_due(T0 + YEAR * 0.66)
    assert pump.renewal_due(T0 + YEAR * 0.67)


def test_a_revoked_member_and_a_revoked_issuer_are_refused_each_by_its_standing() -> None:
    cwt = member().cwt
    for kid, standing, words in (
        (PUMP.kid, Standing.MEMBER, "pump"),
        (HUB.kid, Standing.ISSUER, "issuer"),
        (AUTHORITY.kid, Standing.AUTHORITY, "authority key"),
    ):
        with pytest.raises(Refused, match=words):
            verify_membership(cwt, AUTHORITY.mesh, revoked=lambda *asked, it=(kid, standing): asked == it)
    assert verify_membership(cwt, AUTHORITY.mesh, revoked=lambda kid, standing: kid == ROGUE.kid)


def test_a_bad_signature_is_invalid_before_anybody_asks_for_revocations() -> None:
    def asked(kid: bytes, standing: Standing) -> bool:
        raise AssertionError("nothing was proved yet")

    with pytest.raises(Invalid):
        verify_membership(signed_by_hub(claims_of().to_wire(), who=ROGUE), AUTHORITY.mesh, revoked=asked)


def test_the_mesh_that_a_membership_claims_can_be_read_for_pinning() -> None:
    assert claimed_mesh(member().cwt) == AUTHORITY.mesh
    assert claimed_mesh(hub().membership.cwt) == AUTHORITY.mesh
    for data in (b"", b"\x80", cose.sign1(b"", Typ.MEMBERSHIP, HUB, external_aad=b"")):
        with pytest.raises(Invalid):
            claimed_mesh(data)


@pytest.mark.parametrize("header", [{}, {KCWT: 1}, {KCWT: []}, {AUTHORITY_HEADER: b"short"}, {4: b"kid"}])
def test_a_header_that_shows_no_signer_is_invalid(header: dict[int | str, Any]) -> None:
    cwt = cose.sign1(
        claims_of().to_wire(), Typ.MEMBERSHIP, HUB, external_aad=AUTHORITY.mesh, unprotected=header
    )
    with pytest.raises(Invalid):
        verify_membership(cwt, AUTHORITY.mesh)


def test_a_header_that_shows_two_signers_is_invalid() -> None:
    header: dict[int | str, Any] = {
        KCWT: cbor.decode(hub().membership.cwt),
        AUTHORITY_HEADER: AUTHORITY.key.public,
    }
    cwt = cose.sign1(
        claims_of().to_wire(), Typ.MEMBERSHIP, HUB, external_aad=AUTHORITY.mesh, unprotected=header
    )
    with pytest.raises(Invalid, match="one signer"):
        verify_membership(cwt, AUTHORITY.mesh)


def test_an_oversized_membership_is_not_even_read() -> None:
    with pytest.raises(Invalid):
        verify_membership(bytes(MAX_MEMBERSHIP + 1), AUTHORITY.mesh)


def test_names_are_lower_case_letters_digits_and_hyphens() -> None:
    assert check_name("pump-2") == "pump-2"
    for text, name in (
        ("Raspberry_Pi.local", "raspberry-pi"),
        ("  Küche 2", "k-che-2"),
        ("ö", ""),
        ("a" * 99, "a" * 63),
    ):
        assert name_from(text) == name
