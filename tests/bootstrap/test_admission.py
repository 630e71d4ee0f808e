from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.bootstrap.admission import (
    Admission,
    Admitted,
    Applicant,
    Mode,
    Pending,
    Reason,
    RefusedDecision,
    Way,
)
from kos_edge.bootstrap.enrolment import WISH, EadItem, Waiting, ask, check_hub, read_answer, read_wish
from kos_edge.bootstrap.quarantine import MAX_PENDING, MAX_PER_ADDRESS, STAY_S
from kos_edge.errors import Invalid, Refused, Unavailable
from kos_edge.klp import cbor
from kos_edge.klp.identity import KeyPair, fingerprint_words
from kos_edge.mesh.claims import Role
from kos_edge.mesh.invitation import Invitations
from kos_edge.mesh.issuer import Issuer
from kos_edge.mesh.known_keys import KnownKey, KnownKeys
from kos_edge.mesh.membership import Membership
from kos_edge.mesh.token import Token
from tests.mesh.world import (
    AUTHORITY,
    HUB,
    LAMP,
    OTHER_AUTHORITY,
    PUMP,
    ROGUE,
    SECOND_HUB,
    T0,
    YEAR,
    chance,
    hub,
    key,
    member,
)

BOUND = {"th_3": b"t" * 32, "id_cred": b"\xa1\x0e\xa0", "cred": b"\xa0"}


def admission(mode: Mode = Mode.APPROVAL, issuer: Issuer | None = None) -> Admission:
    return Admission(
        issuer or hub(), Invitations(AUTHORITY.mesh, HUB.kid, random=chance(9)), KnownKeys(), mode=mode
    )


def applicant(
    who: KeyPair = PUMP,
    *,
    role: Role = Role.EDGE,
    name: str = "pump",
    token: Token | None = None,
    **changed: Any,
) -> Applicant:
    """A newcomer that has proved its key and says what it wants."""
    values: dict[str, Any] = {
        "public": who.public,
        "member": None,
        "address": "10.0.0.7",
        "ead_3": ask(role, name, token=token, **BOUND),
        **BOUND,
    }
    return Applicant(**values | changed)


def shown(admits: Admission, membership: Membership, who: KeyPair = PUMP, **changed: Any) -> Applicant:
    """A member that has proved its key."""
    known = admits.identify("kcwt", membership.cwt, at=T0)
    return applicant(who, member=known, ead_3=(), **changed)


def admitted(decision: object) -> Admitted:
    assert isinstance(decision, Admitted), decision
    return decision


def refused(decision: object) -> RefusedDecision:
    assert isinstance(decision, RefusedDecision), decision
    return decision


def test_a_token_makes_a_member_and_message_4_gives_the_membership() -> None:
    admits = admission(Mode.CLOSED)
    token = admits.invitations.invite(now=0)
    decision = admitted(admits.decide(applicant(token=token), now=1, at=T0))
    assert (decision.way, decision.changed, decision.asked) == (Way.INVITATION, True, "pump")
    mine = read_answer(decision.ead_4, mesh=token.mesh, public=PUMP.public)
    assert isinstance(mine, Membership)
    assert (mine.name, mine.role, mine.issuer) == ("pump", Role.EDGE, HUB.kid)
    assert admits.issuer.roster.get(PUMP.kid) == mine


def test_redeeming_again_gives_the_same_membership_and_uses_nothing_up() -> None:
    admits = admission()
    token = admits.invitations.invite(now=0, uses=2)
    first = admitted(admits.decide(applicant(token=token), now=1, at=T0))
    again = admitted(admits.decide(applicant(token=token), now=2, at=T0))
    assert (again.membership, again.changed) == (first.membership, False)
    assert admitted(admits.decide(applicant(LAMP, token=token), now=3, at=T0)).membership.name == "pump-2"
    assert refused(admits.decide(applicant(ROGUE, token=token), now=4, at=T0)).reason is Reason.TOKEN


def test_a_taken_name_is_numbered_and_the_same_one_is_given_again() -> None:
    admits = admission(Mode.OPEN)
    admits.decide(applicant(), now=0, at=T0)
    for _ in range(2):
        lamp = admitted(admits.decide(applicant(LAMP), now=1, at=T0))
        assert (lamp.membership.name, lamp.asked) == ("pump-2", "pump")


def test_without_a_name_role_and_key_make_one() -> None:
    admits = admission(Mode.OPEN)
    decision = admitted(admits.decide(applicant(name="", role=Role.RELAY), now=0, at=T0))
    assert decision.membership.name == f"relay-{PUMP.kid.hex()[:6]}"


@pytest.mark.parametrize(
    ("spend", "now", "words"),
    [(True, 1.0, "used up"), (False, 3_600.0, "expired")],
)
def test_a_token_that_is_used_up_or_expired_is_refused_in_words(spend: bool, now: float, words: str) -> None:
    admits = admission(Mode.OPEN)
    token = admits.invitations.invite(now=0)
    if spend:
        admits.decide(applicant(LAMP, token=token), now=0, at=T0)
    decision = refused(admits.decide(applicant(token=token), now=now, at=T0))
    assert decision.reason is Reason.TOKEN
    assert words in decision.text
    assert isinstance(decision.error(), Refused)
    assert PUMP.kid not in admits.issuer.roster


def test_a_token_is_worth_nothing_in_another_handshake_or_for_another_key() -> None:
    admits = admission(Mode.OPEN)
    token = admits.invitations.invite(now=0)
    replayed = applicant(token=token)
    elsewhere: list[dict[str, Any]] = [{"th_3": b"u" * 32}, {"cred": b"\xa1"}, {"id_cred": b"\xa1"}]
    for changed in elsewhere:
        again = applicant(ROGUE, ead_3=replayed.ead_3, **changed)
        assert refused(admits.decide(again, now=1, at=T0)).reason is Reason.TOKEN
    assert admits.invitations.open(1, T0)[0].left == 1


def test_a_revoked_key_gets_in_by_no_way_at_all() -> None:
    admits = admission(Mode.OPEN)
    token = admits.invitations.invite(now=0)
    old = admits.issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    before = shown(admits, old)
    admits.known_keys.allow(KnownKey(PUMP.public))
    admits.issuer.revoke(PUMP.kid, "stolen", at=T0)
    for knock in (applicant(token=token), applicant(), before):
        assert refused(admits.decide(knock, now=1, at=T0)).reason is Reason.REVOKED
    with pytest.raises(Refused, match="revoked"):
        admits.identify("kcwt", old.cwt, at=T0)
    assert admits.invitations.open(1, T0)[0].left == 1


def test_an_allowed_key_comes_in_as_what_it_was_allowed() -> None:
    admits = admission(Mode.CLOSED)
    admits.known_keys.allow(KnownKey(PUMP.public, Role.RELAY, "cellar", "service"))
    decision = admitted(admits.decide(applicant(role=Role.OPERATOR), now=0, at=T0))
    assert decision.way is Way.KNOWN_KEY
    found = decision.membership
    assert (found.name, found.role, found.namespace) == ("cellar", Role.RELAY, "service")


def test_a_closed_mesh_takes_nobody_else() -> None:
    decision = refused(admission(Mode.CLOSED).decide(applicant(), now=0, at=T0))
    assert decision.reason is Reason.CLOSED


def test_nobody_is_admitted_as_a_hub() -> None:
    admits = admission(Mode.OPEN)
    token = admits.invitations.invite(now=0)
    for knock in (applicant(role=Role.HUB), applicant(role=Role.HUB, token=token)):
        assert refused(admits.decide(knock, now=0, at=T0)).reason is Reason.ROLE


def test_a_newcomer_waits_for_a_person_and_hears_of_the_yes_when_it_asks_again() -> None:
    admits = admission()
    decision = admits.decide(applicant(), now=0, at=T0)
    assert isinstance(decision, Pending)
    assert decision.words == fingerprint_words(PUMP.public)
    assert read_answer(decision.ead_4, mesh=AUTHORITY.mesh, public=PUMP.public) == Waiting(5, int(STAY_S))
    assert [candidate.kid for candidate in admits.pending(1)] == [PUMP.kid]
    for text in ("pump", PUMP.kid.hex()[:6], decision.words):
        assert admits.who(text, 1) == PUMP.kid
    assert isinstance(admits.decide(applicant(), now=5, at=T0), Pending)
    membership = admits.approve(PUMP.kid, now=6, at=T0)
    assert admits.pending(6) == ()
    heard = admitted(admits.decide(applicant(), now=10, at=T0))
    assert (heard.membership, heard.way, heard.changed) == (membership, Way.AGAIN, False)
    assert read_answer(heard.ead_4, mesh=AUTHORITY.mesh, public=PUMP.public) == membership


def test_the_person_may_choose_another_name_and_role() -> None:
    admits = admission()
    admits.decide(applicant(), now=0, at=T0)
    with pytest.raises(Refused, match="taken"):
        admits.approve(PUMP.kid, now=1, at=T0, name="hub")
    membership = admits.approve(PUMP.kid, now=1, at=T0, name="well", role=Role.RELAY)
    assert (membership.name, membership.role) == ("well", Role.RELAY)


def test_two_that_wait_for_one_name_get_two_names() -> None:
    admits = admission()
    for who in (PUMP, LAMP):
        admits.decide(applicant(who), now=0, at=T0)
    names = [admits.approve(who.kid, now=1, at=T0).name for who in (PUMP, LAMP)]
    assert names == ["pump", "pump-2"]


def test_whoever_is_rejected_is_refused_for_ten_minutes_and_frees_the_place() -> None:
    admits = admission()
    admits.decide(applicant(), now=0, at=T0)
    admits.reject(PUMP.kid, now=1)
    assert admits.pending(1) == ()
    assert refused(admits.decide(applicant(), now=2, at=T0)).reason is Reason.REJECTED
    assert isinstance(admits.decide(applicant(), now=1 + STAY_S, at=T0), Pending)


def test_quarantine_forgets_after_ten_minutes_without_asking() -> None:
    admits = admission()
    admits.decide(applicant(), now=0, at=T0)
    admits.decide(applicant(), now=STAY_S - 1, at=T0)
    assert admits.pending(2 * STAY_S - 2)[0].since == 0
    assert admits.pending(2 * STAY_S - 1) == ()
    for decide in (
        lambda: admits.approve(PUMP.kid, now=2_000, at=T0),
        lambda: admits.reject(PUMP.kid, now=2_000),
    ):
        with pytest.raises(Invalid, match="nobody"):
            decide()
    with pytest.raises(Invalid, match="no newcomer"):
        admits.who("pump", 2_000)


def test_quarantine_holds_four_of_an_address_and_64_in_all() -> None:
    admits = admission()
    keys = (key(seed) for seed in itertools.count(1))
    for _ in range(MAX_PER_ADDRESS):
        assert isinstance(admits.decide(applicant(next(keys)), now=0, at=T0), Pending)
    crowded = refused(admits.decide(applicant(next(keys)), now=0, at=T0))
    assert crowded.reason is Reason.FULL
    assert isinstance(crowded.error(), Unavailable)
    for number in range(MAX_PENDING - MAX_PER_ADDRESS):
        decision = admits.decide(applicant(next(keys), address=f"10.1.0.{number}"), now=0, at=T0)
        assert isinstance(decision, Pending)
    assert (
        refused(admits.decide(applicant(next(keys), address="10.2.0.1"), now=0, at=T0)).reason is Reason.FULL
    )
    assert isinstance(admits.decide(applicant(key(1)), now=1, at=T0), Pending)
    assert len(admits.pending(1)) == MAX_PENDING
    token = admits.invitations.invite(now=0)
    assert admitted(admits.decide(applicant(next(keys), address="10.2.0.1", token=token), now=0, at=T0))


def test_a_member_is_recognised_and_nothing_changes() -> None:
    admits = admission(Mode.CLOSED)
    pump = member(issuer=admits.issuer)
    decision = admitted(admits.decide(shown(admits, pump), now=0, at=T0))
    assert (decision.membership, decision.way, decision.ead_4, decision.changed) == (
        pump,
        Way.MEMBER,
        (),
        False,
    )


def test_a_member_that_another_issuer_admitted_is_taken_into_the_roster() -> None:
    admits = admission(Mode.CLOSED)
    pump = member(issuer=hub(SECOND_HUB, "attic"))
    decision = admitted(admits.decide(shown(admits, pump), now=0, at=T0))
    assert decision.changed
    assert admits.issuer.roster.get(PUMP.kid) == pump


def test_a_member_that_was_renamed_while_away_hears_its_new_name() -> None:
    admits = admission()
    old = member(issuer=admits.issuer)
    renamed = admits.issuer.rename(PUMP.kid, "well", at=T0)
    decision = admitted(admits.decide(shown(admits, old), now=0, at=T0))
    assert decision.membership == renamed
    assert read_answer(decision.ead_4, mesh=AUTHORITY.mesh, public=PUMP.public) == renamed
    assert admitted(admits.decide(shown(admits, old, combined=True), now=0, at=T0)).ead_4 == ()


def test_a_membership_near_its_end_or_past_it_is_renewed_where_there_is_a_message_4() -> None:
    admits = admission()
    old = member(issuer=admits.issuer)
    for at in (T0 + 0.9 * YEAR, T0 + 3 * YEAR):
        decision = admitted(admits.decide(shown(admits, old), now=0, at=at))
        assert decision.changed
        assert not decision.membership.expired_at(at)
        assert not decision.membership.renewal_due(at)
        assert decision.ead_4
    combined = admission()
    again = member(issuer=combined.issuer)
    decision = admitted(combined.decide(shown(combined, again, combined=True), now=0, at=T0 + 0.9 * YEAR))
    assert (decision.membership, decision.changed) == (again, False)


def test_a_member_that_lost_its_membership_gets_it_again_with_its_key() -> None:
    admits = admission(Mode.CLOSED)
    pump = member(issuer=admits.issuer)
    decision = admitted(admits.decide(applicant(name="another"), now=0, at=T0))
    assert (decision.membership, decision.way) == (pump, Way.AGAIN)


def test_what_a_revoked_issuer_admitted_does_not_come_in_again_by_itself() -> None:
    admits = admission(Mode.CLOSED)
    admits.issuer.roster.add(member(issuer=hub(SECOND_HUB, "attic")))
    AUTHORITY.revoke(SECOND_HUB.kid, "stolen", admits.issuer.revocations, at=T0)
    assert refused(admits.decide(applicant(), now=0, at=T0)).reason is Reason.CLOSED
    token = admits.invitations.invite(now=0)
    again = admitted(admits.decide(applicant(token=token), now=0, at=T0))
    assert (again.membership.issuer, again.membership.name) == (HUB.kid, "pump")
    assert not admits.issuer.roster.revoked(again.membership)


def test_a_token_changes_a_members_role_and_leaves_the_rest() -> None:
    admits = admission()
    admits.issuer.admit(
        PUMP.public, "well", Role.EDGE, at=T0, capabilities=["group:cellar"], namespace="agent"
    )
    token = admits.invitations.invite(now=0)
    found = admitted(admits.decide(applicant(role=Role.RELAY, token=token), now=0, at=T0)).membership
    assert (found.name, found.role) == ("well", Role.RELAY)
    assert (found.capabilities, found.namespace) == (("group:cellar",), "agent")


def test_a_member_of_another_mesh_or_of_none_is_not_recognised() -> None:
    admits = admission()
    other = member(issuer=hub(HUB, "hub", OTHER_AUTHORITY))
    with pytest.raises(Refused, match="another mesh"):
        admits.identify("kcwt", other.cwt, at=T0)
    with pytest.raises(Invalid):
        admits.identify("kcwt", b"\x80", at=T0)
    assert admits.identify("kccs", b"\xa0", at=T0) is None


def test_somebody_elses_membership_is_refused() -> None:
    admits = admission(Mode.OPEN)
    pump = member(issuer=admits.issuer)
    assert refused(admits.decide(shown(admits, pump, ROGUE), now=0, at=T0)).reason is Reason.MALFORMED


BAD_WISHES: list[tuple[EadItem, ...]] = [
    ((WISH, None),),
    ((WISH, b""),),
    ((WISH, cbor.encode(["pump"])),),
    ((WISH, cbor.encode(["Bad Name", 1])),),
    ((WISH, cbor.encode(["pump", 4])),),
    ((WISH, cbor.encode(["pump", True])),),
    ((-WISH, cbor.encode(["pump", 1])),),
    ((-WISH, cbor.encode([bytes(7), bytes(32), "pump", 1])),),
    ((-WISH, cbor.encode([bytes(8), bytes(31), "pump", 1])),),
    ((WISH, cbor.encode([bytes(8), bytes(32), "pump", 1])),),
    ((WISH, cbor.encode(["pump", 1])), (WISH, cbor.encode(["pump", 1]))),
]


@pytest.mark.parametrize("ead_3", BAD_WISHES)
def test_a_wish_in_no_form_of_ours_is_refused_and_changes_nothing(ead_3: tuple[EadItem, ...]) -> None:
    admits = admission(Mode.OPEN)
    assert refused(admits.decide(applicant(ead_3=ead_3), now=0, at=T0)).reason is Reason.MALFORMED
    assert len(admits.issuer.roster) == 1


@given(
    st.lists(
        st.tuples(st.sampled_from([WISH, -WISH, 0, 7]), st.none() | st.binary(max_size=80))
        | st.tuples(
            st.sampled_from([WISH, -WISH]),
            st.lists(st.binary(max_size=33) | st.text(max_size=5) | st.integers(-1, 5), max_size=5).map(
                cbor.encode
            ),
        ),
        max_size=3,
    )
)
def test_no_ead_3_makes_a_decision_raise(items: list[EadItem]) -> None:
    decision = admission(Mode.OPEN).decide(applicant(ead_3=tuple(items)), now=0, at=None)
    assert isinstance(decision, (Admitted, RefusedDecision))


def test_items_of_other_labels_are_not_looked_at() -> None:
    assert read_wish([(7, b"\xff"), (0, None)]) is None
    assert isinstance(admission().decide(applicant(ead_3=((7, b"x"),)), now=0, at=T0), Pending)


def test_the_newcomer_checks_the_hub_before_it_shows_anything() -> None:
    cwt = hub().membership.cwt
    mesh = AUTHORITY.mesh
    assert check_hub("kcwt", cwt, mesh=mesh, hub=HUB.kid)[1].name == "hub"
    assert check_hub("kcwt", cwt, mesh=None)[0] == mesh
    with pytest.raises(Refused, match="this hub belongs to another mesh"):
        check_hub("kcwt", cwt, mesh=OTHER_AUTHORITY.mesh)
    with pytest.raises(Refused, match="found another device at that address: attic"):
        check_hub("kcwt", hub(SECOND_HUB, "attic").membership.cwt, mesh=mesh, hub=HUB.kid)
    with pytest.raises(Refused, match="no member"):
        check_hub("kccs", b"\xa0", mesh=mesh)
    with pytest.raises(Refused, match="pump is no hub"):
        check_hub("kcwt", member().cwt, mesh=mesh)
    with pytest.raises(Invalid):
        check_hub("kcwt", cwt[:-1] + bytes([cwt[-1] ^ 1]), mesh=mesh, hub=HUB.kid)
    with pytest.raises(Invalid):
        check_hub("kcwt", b"", mesh=None)


def test_an_answer_that_is_not_our_membership_is_invalid() -> None:
    pump = member()
    good = ((65002, pump.cwt),)
    assert read_answer(good, mesh=AUTHORITY.mesh, public=PUMP.public) == pump
    assert read_answer([(9, b"")], mesh=AUTHORITY.mesh, public=PUMP.public) is None
    bad: list[tuple[EadItem, ...]] = [
        ((65002, None),),
        ((65002, pump.cwt[:-1]),),
        (*good, (65003, cbor.encode([5, 600]))),
        ((65003, None),),
        ((65003, cbor.encode([0, 600])),),
        ((65003, cbor.encode([5, 10**9])),),
        ((65003, cbor.encode([5])),),
    ]
    for items in bad:
        with pytest.raises(Invalid):
            read_answer(items, mesh=AUTHORITY.mesh, public=PUMP.public)
    for mesh, public in ((OTHER_AUTHORITY.mesh, PUMP.public), (AUTHORITY.mesh, LAMP.public)):
        with pytest.raises(Invalid):
            read_answer(good, mesh=mesh, public=public)
