from __future__ import annotations

import pytest

from kos_edge.errors import Invalid, Refused
from kos_edge.klp import cbor
from kos_edge.klp.cose import Typ
from kos_edge.mesh.claims import Role
from kos_edge.mesh.membership import Standing, issuer_seal
from kos_edge.mesh.policy import DENY_ALL, STARTER, Action, Policy, Rule, sign_policy, verify_policy
from kos_edge.mesh.rotation import OtherMesh
from tests.mesh.world import AUTHORITY, HUB, LAMP, OTHER_AUTHORITY, PUMP, T0, hub, member

ISSUER = hub()
PUMP_MEMBER = ISSUER.admit(PUMP.public, "pump", Role.EDGE, at=T0, capabilities=["group:cellar"])
LAMP_MEMBER = ISSUER.admit(LAMP.public, "lamp", Role.RELAY, at=T0)
STARTER_BYTES = sign_policy(AUTHORITY.seal, STARTER, number=1, at=T0)


def starter() -> Policy:
    return verify_policy(STARTER_BYTES, AUTHORITY.mesh)


def with_rules(*rules: Rule) -> Policy:
    return verify_policy(sign_policy(ISSUER.seal, rules, number=2, at=T0), AUTHORITY.mesh)


def test_the_starter_policy_lets_members_publish_to_the_hub_and_command_each_other() -> None:
    policy = starter()
    assert policy.rules == STARTER
    assert policy.allows(PUMP_MEMBER, Action.PUBLISH, "air.temperature", "hub")
    assert policy.allows(PUMP_MEMBER, Action.PUBLISH, "air.temperature", ISSUER.membership)
    assert policy.allows(PUMP_MEMBER, Action.COMMAND, "fan.set", LAMP_MEMBER)
    assert policy.allows(PUMP_MEMBER, Action.COMMAND, "fan.set", f"kid:{LAMP.kid.hex()}")
    assert policy.allows(ISSUER.membership, Action.READ, "air.temperature", PUMP_MEMBER)


def test_what_no_rule_allows_is_denied() -> None:
    policy = starter()
    assert not policy.allows(PUMP_MEMBER, Action.PUBLISH, "air.temperature", "edge")
    assert not policy.allows(PUMP_MEMBER, Action.PUBLISH, "air.temperature", "all")
    assert not policy.allows(PUMP_MEMBER, Action.PUBLISH, "air.temperature", LAMP_MEMBER)
    assert not policy.allows(PUMP_MEMBER, Action.READ, "air.temperature", LAMP_MEMBER)
    assert not any(DENY_ALL.allows(ISSUER.membership, action, "a", "hub") for action in Action)


def test_a_rule_is_for_a_role_a_group_or_one_key_and_for_its_topics() -> None:
    assert with_rules(Rule("group:cellar", Action.READ, "air.*", "relay")).allows(
        PUMP_MEMBER, Action.READ, "air.temperature", LAMP_MEMBER
    )
    only_lamp = with_rules(Rule(f"kid:{LAMP.kid.hex()}", Action.COMMAND, "light.#", f"kid:{PUMP.kid.hex()}"))
    assert only_lamp.allows(LAMP_MEMBER, Action.COMMAND, "light.set", PUMP_MEMBER)
    assert only_lamp.allows(LAMP_MEMBER, Action.COMMAND, "light", f"kid:{PUMP.kid.hex()}")
    assert not only_lamp.allows(LAMP_MEMBER, Action.COMMAND, "fan.set", PUMP_MEMBER)
    assert not only_lamp.allows(PUMP_MEMBER, Action.COMMAND, "light.set", PUMP_MEMBER)
    assert not only_lamp.allows(LAMP_MEMBER, Action.PUBLISH, "light.set", PUMP_MEMBER)


def test_any_flipped_byte_of_a_policy_is_rejected() -> None:
    for at in range(len(STARTER_BYTES)):
        with pytest.raises(Invalid):
            verify_policy(
                STARTER_BYTES[:at] + bytes([STARTER_BYTES[at] ^ 0x20]) + STARTER_BYTES[at + 1 :],
                AUTHORITY.mesh,
            )


def test_a_policy_is_signed_by_an_issuer_or_the_authority_of_this_mesh() -> None:
    assert with_rules(*STARTER).standing is Standing.ISSUER
    assert starter().standing is Standing.AUTHORITY
    with pytest.raises(OtherMesh):
        verify_policy(STARTER_BYTES, OTHER_AUTHORITY.mesh)
    by_member = sign_policy(issuer_seal(PUMP, member(), AUTHORITY.mesh), STARTER, number=9, at=T0)
    with pytest.raises(Invalid):
        verify_policy(by_member, AUTHORITY.mesh)
    by_issuer = sign_policy(ISSUER.seal, STARTER, number=9, at=T0)
    with pytest.raises(Refused, match="revoked"):
        verify_policy(by_issuer, AUTHORITY.mesh, revoked=lambda kid, standing: kid == HUB.kid)


def test_of_two_policies_the_higher_number_is_in_force_and_in_a_tie_the_authoritys() -> None:
    policies = [
        with_rules(),
        starter(),
        verify_policy(sign_policy(AUTHORITY.seal, (), number=2, at=T0), AUTHORITY.mesh),
    ]
    assert max(policies, key=lambda policy: policy.rank) is policies[2]
    assert DENY_ALL.rank < min(policy.rank for policy in policies)


@pytest.mark.parametrize(
    "payload",
    [
        {1: 0, 2: T0, 3: []},
        {1: True, 2: T0, 3: []},
        {1: 1, 2: -1, 3: []},
        {1: 1, 2: T0, 3: {}},
        {1: 1, 2: T0},
        {1: 1, 2: T0, 3: [], 4: 0},
        {1: 1, 2: T0, 3: [[0, 0, "#"]]},
        {1: 1, 2: T0, 3: [[0, 3, "#", 0]]},
        {1: 1, 2: T0, 3: [[0, False, "#", 0]]},
        {1: 1, 2: T0, 3: [[9, 0, "#", 0]]},
        {1: 1, 2: T0, 3: [[0, 0, "a b", 0]]},
        {1: 1, 2: T0, 3: [[0, 0, "#", b"short"]]},
        {1: 1, 2: T0, 3: [[0, 0, "#", 0]] * 257},
        [],
    ],
)
def test_a_policy_that_breaks_a_rule_is_invalid(payload: object) -> None:
    with pytest.raises(Invalid):
        verify_policy(AUTHORITY.seal.sign(cbor.encode(payload), Typ.POLICY), AUTHORITY.mesh)
