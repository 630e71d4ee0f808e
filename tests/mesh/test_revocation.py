from __future__ import annotations

import itertools
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kos_edge.errors import Invalid, Unavailable
from kos_edge.klp import cbor
from kos_edge.klp.cose import Typ
from kos_edge.mesh import revocation
from kos_edge.mesh.membership import Standing, issuer_seal
from kos_edge.mesh.revocation import (
    MAX_AHEAD,
    MAX_BATCH,
    MAX_IDS,
    MAX_SAME,
    Revocations,
    read_numbers,
    sign_revocation,
    verify_revocation,
)
from kos_edge.mesh.rotation import OtherMesh
from tests.mesh.world import AUTHORITY, HUB, LAMP, OTHER_AUTHORITY, PUMP, ROGUE, SECOND_HUB, T0, hub, member

SEAL = hub().seal
SECOND_SEAL = hub(SECOND_HUB, "attic").seal
PAIRS = [
    sign_revocation(seal, bytes([number]) * 16, number=number, reason="gone", at=T0 + number)
    for seal in (SEAL, SECOND_SEAL)
    for number in range(1, 6)
]


@cache
def signed_at(number: int, at: int) -> bytes:
    return sign_revocation(SEAL, bytes([number % 256]) * 16, number=number, reason="", at=at)


def held(*items: bytes) -> Revocations:
    revocations = Revocations(AUTHORITY.mesh)
    for item in items:
        revocations.add(item)
    return revocations


def test_a_revocation_is_verified_with_the_mesh_id_alone() -> None:
    data = sign_revocation(SEAL, PUMP.kid, number=1, reason="sold", at=T0)
    found = verify_revocation(data, AUTHORITY.mesh)
    assert (found.kid, found.number, found.reason, found.at) == (PUMP.kid, 1, "sold", T0)
    assert (found.issuer, found.standing, found.raw) == (HUB.kid, Standing.ISSUER, data)


def test_any_flipped_byte_is_rejected() -> None:
    data = PAIRS[0]
    for at in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            with pytest.raises(Invalid):
                verify_revocation(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :], AUTHORITY.mesh)


def test_a_revocation_of_another_mesh_a_member_or_a_stranger_is_rejected() -> None:
    with pytest.raises(OtherMesh):
        verify_revocation(PAIRS[0], OTHER_AUTHORITY.mesh)
    seals = issuer_seal(PUMP, member(), AUTHORITY.mesh), issuer_seal(ROGUE, hub().membership, AUTHORITY.mesh)
    for seal in seals:
        with pytest.raises(Invalid):
            verify_revocation(sign_revocation(seal, LAMP.kid, number=1, reason="", at=T0), AUTHORITY.mesh)


def test_a_membership_is_no_revocation_nor_the_other_way_round() -> None:
    with pytest.raises(Invalid):
        verify_revocation(member().cwt, AUTHORITY.mesh)
    payload = cbor.encode({1: 1, 2: PUMP.kid, 3: T0, 4: ""})
    with pytest.raises(Invalid, match="type"):
        verify_revocation(SEAL.sign(payload, Typ.MEMBERSHIP), AUTHORITY.mesh)


@pytest.mark.parametrize(
    "payload",
    [
        {1: 0, 2: PUMP.kid, 3: T0, 4: ""},
        {1: True, 2: PUMP.kid, 3: T0, 4: ""},
        {1: 2**32, 2: PUMP.kid, 3: T0, 4: ""},
        {1: 1, 2: PUMP.kid[:-1], 3: T0, 4: ""},
        {1: 1, 2: PUMP.kid, 3: -1, 4: ""},
        {1: 1, 2: PUMP.kid, 3: T0, 4: "x" * 121},
        {1: 1, 2: PUMP.kid, 3: T0, 4: "two\nlines"},
        {1: 1, 2: PUMP.kid, 3: T0},
        {1: 1, 2: PUMP.kid, 3: T0, 4: "", 5: 0},
        [1, PUMP.kid, T0, ""],
    ],
)
def test_a_revocation_that_breaks_a_rule_is_invalid(payload: object) -> None:
    with pytest.raises(Invalid):
        verify_revocation(SEAL.sign(cbor.encode(payload), Typ.REVOCATION), AUTHORITY.mesh)


def test_an_issuer_shuts_out_members_and_the_authority_issuers_too() -> None:
    by_issuer = held(sign_revocation(SECOND_SEAL, HUB.kid, number=1, reason="rival", at=T0))
    assert by_issuer.is_revoked(HUB.kid)
    assert not by_issuer.is_revoked(HUB.kid, Standing.ISSUER)
    by_authority = held(sign_revocation(AUTHORITY.seal, HUB.kid, number=1, reason="stolen", at=T0))
    assert by_authority.is_revoked(HUB.kid, Standing.ISSUER)
    assert by_authority.is_revoked(HUB.kid)
    assert not by_authority.is_revoked(HUB.kid, Standing.AUTHORITY)


def test_the_same_revocation_counts_once_whichever_chain_it_is_shown_with() -> None:
    renewed = AUTHORITY.issue_issuer(HUB.public, "hub", at=T0 + 99)
    again = sign_revocation(
        issuer_seal(HUB, renewed, AUTHORITY.mesh), bytes([1]) * 16, number=1, reason="gone", at=T0 + 1
    )
    revocations = held(PAIRS[0])
    assert again != PAIRS[0]
    assert revocations.add(again) is None
    assert len(revocations) == 1


@given(st.lists(st.sampled_from(PAIRS), max_size=12), st.lists(st.sampled_from(PAIRS), max_size=12))
def test_union_is_the_same_in_any_order(left: list[bytes], right: list[bytes]) -> None:
    one, other = held(*left), held(*right)
    missing_there, missing_here = one.since(other.numbers()), other.since(one.numbers())
    other.merge(missing_there)
    one.merge(missing_here)
    assert one.numbers() == other.numbers()
    assert one.to_wire() == other.to_wire() == held(*right, *left).to_wire()
    assert one.gaps() == other.gaps()


def test_since_gives_what_is_missing_and_nothing_else() -> None:
    all_of_them, some = held(*PAIRS), held(*PAIRS[:2], *PAIRS[5:])
    assert all_of_them.since(some.numbers()) == PAIRS[2:5]
    assert some.since(all_of_them.numbers()) == []
    assert held().since({}) == []


def test_a_gap_in_the_numbers_is_visible_and_closes() -> None:
    revocations = held(PAIRS[0], PAIRS[4])
    assert revocations.gaps() == {HUB.kid: ((2, 4),)}
    assert revocations.numbers()[HUB.kid][0] == 1
    revocations.merge(PAIRS[1:4])
    assert revocations.gaps() == {}


def test_a_number_used_twice_keeps_both_and_is_passed_on() -> None:
    twice = sign_revocation(SEAL, LAMP.kid, number=2, reason="after an old copy was put back", at=T0)
    one, other = held(*PAIRS[:5]), held(PAIRS[0], twice, *PAIRS[2:5])
    assert one.numbers() != other.numbers()
    one.merge(other.since(one.numbers()))
    other.merge(one.since(other.numbers()))
    assert one.to_wire() == other.to_wire()
    assert one.is_revoked(LAMP.kid)
    assert one.is_revoked(bytes([2]) * 16)


def test_a_gap_that_never_closes_is_no_reason_to_send_anything_twice() -> None:
    one = held(PAIRS[0], *PAIRS[2:5])
    other = held(PAIRS[0], PAIRS[3])
    assert one.since(other.numbers()) == [PAIRS[2], PAIRS[4]]
    other.merge(one.since(other.numbers()))
    assert one.since(other.numbers()) == other.since(one.numbers()) == []


@settings(max_examples=40)
@given(st.sets(st.integers(1, 9)), st.sets(st.integers(1, 9)), st.sets(st.integers(1, 9)), st.integers(1, 3))
def test_handing_over_a_few_at_a_time_always_comes_to_an_end(
    here: set[int], there: set[int], restored: set[int], few: int
) -> None:
    """`there` also has numbers used twice, as after an old copy of the issuer's store was put back."""
    made = {number: signed_at(number, T0) for number in range(1, 10)}
    again = {number: signed_at(number, T0 + 1) for number in range(1, 10)}
    one, other = held(*(made[number] for number in here)), held(*(made[number] for number in there))
    other.merge(again[number] for number in restored)
    for _ in range(100):
        for_other, for_one = one.since(other.numbers())[:few], other.since(one.numbers())[:few]
        if not for_other and not for_one:
            break
        other.merge(for_other)
        one.merge(for_one)
    assert one.to_wire() == other.to_wire()
    assert one.numbers() == other.numbers()


def test_what_runs_too_far_ahead_or_says_too_much_of_one_number_has_no_room() -> None:
    revocations = held(PAIRS[0])
    merged = revocations.merge([signed_at(1 + MAX_AHEAD, T0), signed_at(2 + MAX_AHEAD, T0), PAIRS[1]])
    assert ([item.number for item in merged.added], merged.no_room) == ([1 + MAX_AHEAD, 2], 1)
    same = revocations.merge(signed_at(9, T0 + at) for at in range(MAX_SAME + 1))
    assert (len(same.added), same.no_room) == (MAX_SAME, 1)


def test_bad_items_of_a_hand_over_are_counted_and_the_rest_is_taken() -> None:
    merged = held().merge([b"", PAIRS[0], PAIRS[0][:-1], PAIRS[1]])
    assert [item.number for item in merged.added] == [1, 2]
    assert merged.invalid == 2


def test_a_hand_over_and_the_set_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Invalid):
        held().merge(itertools.repeat(b"", MAX_BATCH + 1))
    monkeypatch.setattr(revocation, "MAX_PER_ISSUER", 2)
    monkeypatch.setattr(revocation, "MAX_ISSUERS", 1)
    revocations = held(*PAIRS[:2])
    for item in (PAIRS[2], PAIRS[5]):
        with pytest.raises(Unavailable):
            revocations.add(item)
    assert len(revocations) == 2


def test_a_stored_set_is_verified_again() -> None:
    revocations = held(*PAIRS)
    assert Revocations.from_wire(revocations.to_wire(), AUTHORITY.mesh).to_wire() == revocations.to_wire()
    for data in (b"", b"\x01", cbor.encode([1]), cbor.encode([b"\x00"]), revocations.to_wire()[:-1]):
        with pytest.raises(Invalid):
            Revocations.from_wire(data, AUTHORITY.mesh)
    with pytest.raises(OtherMesh):
        Revocations.from_wire(revocations.to_wire(), OTHER_AUTHORITY.mesh)


def test_numbers_survive_the_wire_and_bad_ones_are_invalid() -> None:
    numbers = held(*PAIRS).numbers()
    assert read_numbers(cbor.decode(cbor.encode(numbers))) == numbers
    values: list[object] = [
        None,
        [],
        {b"short": [1, bytes(8), b""]},
        {HUB.kid: [1]},
        {HUB.kid: [1, bytes(8)]},
        {HUB.kid: [-1, bytes(8), b""]},
        {HUB.kid: [1, b"", b""]},
        {HUB.kid: [1, bytes(8), bytes(7)]},
        {HUB.kid: [1, bytes(8), bytes(MAX_IDS + 8)]},
    ]
    for value in values:
        with pytest.raises(Invalid):
            read_numbers(value)


def test_why_somebody_is_revoked_can_be_told() -> None:
    revocations = held(*PAIRS)
    assert [item.reason for item in revocations.of(bytes([1]) * 16)] == ["gone", "gone"]
    assert revocations.of(PUMP.kid) == ()
    assert revocations.next_number(HUB.kid) == 6
    assert revocations.next_number(PUMP.kid) == 1
