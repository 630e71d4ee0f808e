from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.errors import Invalid
from kos_edge.klp import cbor
from kos_edge.klp.identity import KeyPair
from kos_edge.mesh.claims import Role
from kos_edge.mesh.membership import Membership, is_shut_out
from kos_edge.mesh.policy import is_in
from kos_edge.mesh.roster import Roster
from kos_edge.mesh.rotation import OtherMesh
from tests.mesh.world import AUTHORITY, HUB, LAMP, OTHER_AUTHORITY, PUMP, SECOND_HUB, T0, hub, key, member


def several() -> list[Membership]:
    first, second = hub(), hub(SECOND_HUB, "attic")
    pump = first.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    second.roster.add(pump)
    return [
        first.membership,
        second.membership,
        pump,
        first.rename(PUMP.kid, "well", at=T0),
        second.rename(PUMP.kid, "spring", at=T0),
        second.admit(LAMP.public, "lamp", Role.RELAY, at=T0 + 1),
        first.admit(LAMP.public, "light", Role.EDGE, at=T0 + 2),
    ]


SEVERAL = several()


@given(st.permutations(SEVERAL))
def test_rosters_that_have_heard_the_same_are_the_same(order: list[Membership]) -> None:
    roster = Roster()
    for membership in order + order[:3]:
        roster.add(membership)
    assert len(roster) == 4
    assert [item.name for item in roster] == sorted(item.name for item in roster)
    kept = roster.get(LAMP.kid)
    assert kept is not None
    assert kept.name == "light"
    reference = Roster()
    for membership in SEVERAL:
        reference.add(membership)
    assert roster.to_wire() == reference.to_wire()


def test_an_older_membership_changes_nothing() -> None:
    issuer = hub()
    old = issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    issuer.rename(PUMP.kid, "well", at=T0)
    assert not issuer.roster.add(old)
    assert issuer.roster.named("pump") is None


def test_a_rogue_issuer_cannot_demote_another_with_a_younger_membership() -> None:
    victim, rogue = hub(), hub(SECOND_HUB, "rogue")
    demotion = rogue.admit(HUB.public, "just-an-edge", Role.EDGE, at=T0 + 1_000)
    assert not victim.roster.add(demotion)
    assert victim.roster.get(HUB.kid) == victim.membership


def test_a_name_that_two_issuers_gave_away_is_reported_and_the_first_holder_keeps_it() -> None:
    first, second = hub(), hub(SECOND_HUB, "attic")
    early = first.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    late = second.admit(LAMP.public, "pump", Role.EDGE, at=T0 + 1)
    second.roster.add(early)
    assert second.roster.conflicts() == {"pump": (early, late)}
    assert second.roster.named("PUMP") == early
    renewed = second.renew(PUMP.kid, at=T0 + 50)
    assert second.roster.named("pump") == renewed
    with pytest.raises(Invalid, match="may mean 2") as ambiguous:
        second.roster.who("pump")
    assert PUMP.kid.hex() in ambiguous.value.message
    assert LAMP.kid.hex() in ambiguous.value.message


def test_somebody_is_meant_by_name_by_kid_or_by_the_beginning_of_the_kid() -> None:
    issuer = hub()
    issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    digits = PUMP.kid.hex()
    texts = (
        "pump",
        " Pump ",
        digits,
        digits[:6],
        digits[:6].upper(),
        f"kid:device:{digits}",
        f"kid:device:{digits[:4]}",
    )
    for text in texts:
        assert issuer.roster.who(text) == PUMP.kid
    for text in ("pum", "", "kid:", "kid:device:", f"kid:agent:{digits}", "zz", "kid:device"):
        with pytest.raises(Invalid):
            issuer.roster.who(text)


def test_a_name_that_looks_like_the_beginning_of_a_kid_does_not_catch_what_was_meant_for_the_kid() -> None:
    issuer = hub()
    issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    issuer.admit(LAMP.public, PUMP.kid.hex()[:4], Role.EDGE, at=T0)
    with pytest.raises(Invalid, match="may mean 2"):
        issuer.roster.who(PUMP.kid.hex()[:4])


def test_a_name_nearly_right_is_offered() -> None:
    with pytest.raises(Invalid) as nobody:
        hub().roster.who("hubb")
    assert nobody.value.hint == "is it hub?"


def test_a_revoked_member_is_found_by_name_until_somebody_else_bears_it() -> None:
    issuer = hub()
    issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    issuer.revoke(PUMP.kid, "sold", at=T0)
    assert issuer.roster.who("pump") == PUMP.kid
    issuer.admit(LAMP.public, "pump", Role.EDGE, at=T0)
    assert issuer.roster.who("pump") == LAMP.kid
    assert issuer.roster.who(PUMP.kid.hex()) == PUMP.kid


def test_a_taken_name_gets_the_lowest_free_number() -> None:
    issuer = hub()
    for number, name in enumerate(("pump", "pump-2", "pump-4")):
        issuer.admit(key(10 + number).public, name, Role.EDGE, at=T0)
    assert issuer.roster.free_name("PUMP", PUMP.kid) == "pump-3"
    assert issuer.roster.free_name("lamp", PUMP.kid) == "lamp"
    assert issuer.roster.free_name("pump", key(10).kid) == "pump"
    issuer.admit(PUMP.public, "x" * 63, Role.EDGE, at=T0)
    assert issuer.roster.free_name("x" * 63, LAMP.kid) == "x" * 61 + "-2"


@given(st.lists(st.sampled_from(["a", "a-2", "b", "a" * 63]), max_size=8))
def test_no_name_is_ever_given_twice(wishes: list[str]) -> None:
    issuer = hub()
    for number, wish in enumerate(wishes):
        who = KeyPair.from_seed(bytes([number]) * 32)
        issuer.admit(who.public, issuer.roster.free_name(wish, who.kid), Role.EDGE, at=T0)
    assert issuer.roster.conflicts() == {}
    assert len(issuer.roster) == len(wishes) + 1


def test_a_stored_roster_is_verified_again() -> None:
    issuer = hub()
    member(issuer=issuer)
    stored = issuer.roster.to_wire()
    assert Roster.from_wire(stored, AUTHORITY.mesh).to_wire() == stored
    with pytest.raises(OtherMesh):
        Roster.from_wire(stored, OTHER_AUTHORITY.mesh)
    for data in (b"", cbor.encode([1]), cbor.encode({}), cbor.encode([b""]), stored[:-1]):
        with pytest.raises(Invalid):
            Roster.from_wire(data, AUTHORITY.mesh)


def test_a_removed_member_leaves_its_name() -> None:
    issuer = hub()
    member(issuer=issuer)
    issuer.roster.remove(PUMP.kid)
    issuer.roster.remove(PUMP.kid)
    assert PUMP.kid not in issuer.roster
    assert issuer.roster.named("pump") is None


def test_members_of_a_revoked_issuer_are_shut_out_with_it_and_free_their_names() -> None:
    first, second = hub(), hub(SECOND_HUB, "attic")
    pump = second.admit(PUMP.public, "pump", Role.EDGE, at=T0 + 9)
    first.roster.add(pump)
    AUTHORITY.revoke(SECOND_HUB.kid, "stolen", first.revocations, at=T0)
    assert first.roster.revoked(pump)
    assert is_shut_out(pump, first.revocations.is_revoked)
    assert first.admit(LAMP.public, "pump", Role.EDGE, at=T0).name == "pump"


def test_what_a_revoked_issuer_said_gives_way_to_what_stands_however_old() -> None:
    first, rogue = hub(), hub(SECOND_HUB, "rogue")
    good = hub().admit(PUMP.public, "pump", Role.EDGE, at=T0)
    first.roster.add(rogue.admit(PUMP.public, "boss", Role.OPERATOR, at=T0 + 1_000))
    assert not first.roster.add(good)
    AUTHORITY.revoke(SECOND_HUB.kid, "stolen", first.revocations, at=T0)
    assert first.roster.add(good)
    assert not first.roster.add(good)
    assert not first.roster.add(rogue.admit(PUMP.public, "boss", Role.OPERATOR, at=T0 + 2_000))


def test_a_member_of_a_revoked_issuer_is_renewed_when_a_person_says_so() -> None:
    first, stolen = hub(), hub(SECOND_HUB, "attic")
    first.roster.add(stolen.admit(PUMP.public, "pump", Role.EDGE, at=T0))
    AUTHORITY.revoke(SECOND_HUB.kid, "stolen", first.revocations, at=T0)
    renewed = first.renew(PUMP.kid, at=T0)
    assert not first.roster.revoked(renewed)
    assert first.roster.get(PUMP.kid) == renewed


def test_whoever_is_in_an_audience_is_found_as_the_policy_says() -> None:
    roster = Roster()
    issuer = hub()
    roster.add(issuer.membership)
    roster.add(issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0, capabilities=("group:cellar",)))
    roster.add(
        issuer.admit(LAMP.public, "lamp", Role.RELAY, at=T0, capabilities=("group:cellar", "group:lamps"))
    )
    kids = (f"kid:{PUMP.kid.hex()}", f"kid:{SECOND_HUB.kid.hex()}")
    audiences = ("all", "hub", "edge", "relay", "group:cellar", "group:lamps", "group:none", *kids)
    for _ in range(2):
        for audience in audiences:
            expected = {member.kid for member in roster if is_in(member, audience)}
            assert {member.kid for member in roster.of(audience)} == expected
        roster.remove(LAMP.kid)
