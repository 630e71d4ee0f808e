from __future__ import annotations

import pytest

from kos_edge.errors import Invalid, Misuse, Refused
from kos_edge.mesh.claims import Role
from kos_edge.mesh.issuer import MEMBER_LIFETIME_S, Issuer
from kos_edge.mesh.membership import Standing, verify_membership
from kos_edge.mesh.revocation import Revocations
from kos_edge.mesh.roster import Roster
from tests.mesh.world import AUTHORITY, HUB, LAMP, PUMP, SECOND_HUB, T0, YEAR, hub, member


def test_a_member_is_listed_and_verifies() -> None:
    issuer = hub()
    pump = issuer.admit(
        PUMP.public, "pump", Role.RELAY, at=T0 + 0.9, capabilities=["group:cellar"], namespace="agent"
    )
    assert issuer.roster.get(PUMP.kid) == pump == verify_membership(pump.cwt, AUTHORITY.mesh)
    assert (pump.issued_at, pump.not_after) == (T0, T0 + MEMBER_LIFETIME_S)
    assert (pump.capabilities, pump.namespace) == (("group:cellar",), "agent")


def test_admitting_again_changes_nothing() -> None:
    issuer = hub()
    first = issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    assert issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0 + 60) is first


def test_a_name_belongs_to_one_key() -> None:
    issuer = hub()
    issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    for name in ("pump", "hub"):
        with pytest.raises(Refused, match="taken") as refused:
            issuer.admit(LAMP.public, name, Role.EDGE, at=T0)
        assert refused.value.hint == f"{name}-2 is free"
    assert LAMP.kid not in issuer.roster


def test_a_renamed_member_frees_its_name_and_its_version_rises_even_in_one_second() -> None:
    issuer = hub()
    pump = issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    renamed = issuer.rename(PUMP.kid, "well", at=T0)
    assert (renamed.kid, renamed.name, renamed.issued_at) == (pump.kid, "well", T0 + 1)
    assert issuer.roster.get(PUMP.kid) == renamed
    assert issuer.admit(LAMP.public, "pump", Role.EDGE, at=T0).name == "pump"
    with pytest.raises(Refused, match="taken"):
        issuer.rename(PUMP.kid, "pump", at=T0)


def test_renewing_moves_the_end_and_keeps_the_beginning() -> None:
    issuer = hub()
    pump = issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    renewed = issuer.renew(PUMP.kid, at=T0 + YEAR / 2)
    assert renewed.not_before == pump.not_before
    assert renewed.not_after == pump.not_after + YEAR // 2
    assert renewed.rank > pump.rank


def test_an_issuer_with_no_clock_writes_the_least_time_that_it_knows() -> None:
    issuer = hub()
    for at in (None, 0.0, 12.5):
        assert issuer.admit(PUMP.public, "pump", Role.EDGE, at=at).issued_at == T0


def test_a_clock_past_the_issuers_own_end_stops_no_renewal() -> None:
    issuer = hub()
    pump = issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    ahead = issuer.renew(PUMP.kid, at=issuer.membership.not_after + YEAR)
    assert ahead.rank > pump.rank
    assert ahead.not_after == issuer.membership.not_after
    assert issuer.renew(PUMP.kid, at=T0 + YEAR).rank > ahead.rank
    assert issuer.admit(LAMP.public, "lamp", Role.EDGE, at=issuer.membership.not_after).name == "lamp"


def test_where_no_later_version_fits_before_the_issuers_end_the_one_there_is_stays() -> None:
    issuer = hub()
    last = issuer.admit(PUMP.public, "pump", Role.EDGE, at=issuer.membership.not_after - 1)
    assert issuer.renew(PUMP.kid, at=T0) == last
    with pytest.raises(Refused, match="ends before"):
        issuer.rename(PUMP.kid, "well", at=T0)


def test_hubs_are_made_by_the_authority() -> None:
    with pytest.raises(Refused, match="cannot make a hub"):
        hub().admit(PUMP.public, "pump", Role.HUB, at=T0)
    with pytest.raises(Invalid):
        hub().admit(PUMP.public, "pump", Role.EDGE, at=T0, capabilities=["issue"])
    with pytest.raises(Refused, match="authority"):
        hub().admit(HUB.public, "edge", Role.EDGE, at=T0)


def test_a_revoked_key_is_not_admitted_renamed_or_renewed() -> None:
    issuer = hub()
    issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    issuer.revoke(PUMP.kid, "sold", at=T0)
    with pytest.raises(Refused, match="revoked"):
        issuer.admit(PUMP.public, "pump-9", Role.EDGE, at=T0)
    with pytest.raises(Refused, match="revoked"):
        issuer.rename(PUMP.kid, "pump-9", at=T0)
    with pytest.raises(Refused, match="revoked"):
        issuer.renew(PUMP.kid, at=T0)


def test_the_name_of_a_revoked_member_is_free_for_its_replacement() -> None:
    issuer = hub()
    issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    issuer.revoke(PUMP.kid, "broken", at=T0)
    assert issuer.admit(LAMP.public, "pump", Role.EDGE, at=T0).kid == LAMP.kid
    assert issuer.roster.who("pump") == LAMP.kid


def test_revocations_are_numbered_and_revoking_twice_is_revoking_once() -> None:
    issuer = hub()
    first = issuer.revoke(PUMP.kid, "sold", at=T0)
    assert issuer.revoke(PUMP.kid, "again", at=T0 + 5) == first
    issuer.revoke(LAMP.kid, at=T0)
    assert [(item.number, item.kid, item.reason) for item in issuer.revocations] == [
        (1, PUMP.kid, "sold"),
        (2, LAMP.kid, ""),
    ]


def test_a_key_can_be_revoked_before_it_ever_came() -> None:
    issuer = hub()
    issuer.revoke(PUMP.kid, "stolen from the box", at=T0)
    with pytest.raises(Refused, match="revoked"):
        issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0)


def test_an_issuer_revokes_no_issuer() -> None:
    issuer, second = hub(), hub(SECOND_HUB, "attic")
    issuer.roster.add(second.membership)
    for kid in (HUB.kid, SECOND_HUB.kid):
        with pytest.raises(Refused, match="cannot revoke an issuer"):
            issuer.revoke(kid, "rival", at=T0)


def test_another_issuers_member_is_renewed_by_this_one() -> None:
    first, second = hub(), hub(SECOND_HUB, "attic")
    pump = member(issuer=first)
    second.roster.add(pump)
    renewed = second.renew(PUMP.kid, at=T0 + 1)
    assert (renewed.issuer, renewed.name, renewed.not_before) == (SECOND_HUB.kid, "pump", T0)
    assert renewed.standing is Standing.MEMBER


def test_whoever_is_no_issuer_cannot_be_made_one_by_calling_it_so() -> None:
    pump = member()
    revocations = Revocations(AUTHORITY.mesh)
    for key in (PUMP, HUB):
        with pytest.raises(Misuse):
            Issuer(key, pump, AUTHORITY.mesh, Roster(), revocations)


def test_renaming_somebody_unknown_is_invalid() -> None:
    with pytest.raises(Invalid, match="no member"):
        hub().rename(PUMP.kid, "pump", at=T0)
