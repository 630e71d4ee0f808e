from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kos_edge.errors import Invalid, Misuse, Refused, Unavailable
from kos_edge.klp import cbor
from kos_edge.mesh import invitation
from kos_edge.mesh.claims import Role
from kos_edge.mesh.invitation import KEPT_S, Invitations, redemption
from kos_edge.mesh.token import Hint, Token
from tests.mesh.world import AUTHORITY, HUB, LAMP, PUMP, T0, chance

SAID: dict[str, Any] = {
    "th_3": bytes(32),
    "id_cred": b"\xa1\x0e\xa0",
    "cred": b"\xa0",
    "role": Role.EDGE,
    "name": "pump",
}


def registry() -> Invitations:
    return Invitations(AUTHORITY.mesh, HUB.kid, random=chance(7))


def redeem(
    invitations: Invitations,
    token: Token,
    kid: bytes = PUMP.kid,
    now: float = 1.0,
    at: float | None = None,
    **said: Any,
) -> bool:
    """As a guest does it, then as the hub does it."""
    values = SAID | {"token_id": token.token_id} | said
    mac = redemption(token.secret, **values)
    invitations.check(mac, kid=kid, now=now, at=at, **values)
    return invitations.redeemed(token.token_id, kid)


def test_a_token_is_redeemed_once_by_default() -> None:
    invitations = registry()
    token = invitations.invite(now=0, hints=[Hint("hub.local", 5683)], mesh_name="farm")
    assert (token.mesh, token.hub, token.mesh_name) == (AUTHORITY.mesh, HUB.kid, "farm")
    assert redeem(invitations, token)
    with pytest.raises(Refused, match="used up"):
        redeem(invitations, token, LAMP.kid)


def test_redeeming_again_by_the_same_key_is_no_second_use_even_when_all_is_over() -> None:
    invitations = registry()
    token = invitations.invite(now=0, uses=2, lifetime_s=60)
    assert redeem(invitations, token)
    assert not redeem(invitations, token)
    assert redeem(invitations, token, LAMP.kid)
    assert not redeem(invitations, token, now=61.0)


def test_a_token_expires_by_elapsed_time_or_by_the_floor_whichever_is_first() -> None:
    invitations = registry()
    token = invitations.invite(now=0, wall=T0, lifetime_s=60)
    assert token.expires_at == T0 + 60
    invitations.check(
        redemption(token.secret, token_id=token.token_id, **SAID),
        kid=PUMP.kid,
        now=59.0,
        at=T0 + 59,
        token_id=token.token_id,
        **SAID,
    )
    for now, at in ((60.0, None), (1.0, T0 + 60.0)):
        with pytest.raises(Refused, match="expired"):
            redeem(invitations, token, now=now, at=at)


def test_a_token_made_without_a_known_time_is_not_ended_by_a_clock_that_comes_right() -> None:
    invitations = registry()
    token = invitations.invite(now=0, lifetime_s=60)
    assert token.expires_at is None
    assert redeem(invitations, token, now=59.0, at=T0 + 10**8)


@pytest.mark.parametrize(
    "changed",
    [
        {"th_3": bytes(31) + b"\x01"},
        {"id_cred": b"\xa1\x0e\xa1"},
        {"cred": b"\xa1"},
        {"role": Role.RELAY},
        {"name": "pump-2"},
    ],
)
def test_the_proof_holds_for_this_handshake_key_role_and_name_only(changed: dict[str, Any]) -> None:
    invitations = registry()
    token = invitations.invite(now=0)
    mac = redemption(token.secret, token_id=token.token_id, **SAID)
    with pytest.raises(Refused, match="no such token"):
        invitations.check(mac, kid=PUMP.kid, now=1.0, at=None, token_id=token.token_id, **SAID | changed)


def test_a_wrong_secret_and_an_unknown_token_are_told_apart_by_nothing() -> None:
    invitations = registry()
    token = invitations.invite(now=0)
    said = []
    for token_id in (token.token_id, bytes(8)):
        with pytest.raises(Refused) as refused:
            invitations.check(bytes(32), kid=PUMP.kid, now=1.0, at=None, token_id=token_id, **SAID)
        said.append((refused.value.message, refused.value.hint))
    assert said[0] == said[1]
    zero = redemption(bytes(16), token_id=bytes(8), **SAID)
    with pytest.raises(Refused, match="no such token"):
        invitations.check(zero, kid=PUMP.kid, now=1.0, at=None, token_id=bytes(8), **SAID)


def test_an_invitation_is_for_certain_roles_and_never_for_hubs() -> None:
    invitations = registry()
    token = invitations.invite(now=0)
    with pytest.raises(Refused, match="edge or relay"):
        redeem(invitations, token, role=Role.OPERATOR)
    assert redeem(invitations, invitations.invite(now=0, roles=[Role.OPERATOR]), role=Role.OPERATOR)
    for roles in ([Role.HUB], [Role.EDGE, Role.HUB], []):
        with pytest.raises(Invalid):
            invitations.invite(now=0, roles=roles)


def test_the_proof_is_the_hmac_that_the_document_says() -> None:
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=b"", info=b"kos-edge invite 1").derive(b"s" * 16)
    said = b"\x86" + cbor.encode_sequence(bytes(32), b"\xa1\x0e\xa0", b"\xa0", bytes(8), 1, "pump")
    expected = hmac.new(key, said, hashlib.sha256).digest()
    assert redemption(b"s" * 16, token_id=bytes(8), **SAID) == expected


def test_invitations_survive_a_restart_with_the_time_that_was_left() -> None:
    invitations = registry()
    token = invitations.invite(now=100.0, uses=2, lifetime_s=60)
    redeem(invitations, token, now=110.0)
    stored = invitations.to_wire(now=130.0)
    later = Invitations.from_wire(stored, AUTHORITY.mesh, HUB.kid, now=5.0)
    assert later.to_wire(now=5.0) == stored
    assert [item.left for item in later.open(5.0, None)] == [1]
    assert not redeem(later, token, now=5.0)
    assert redeem(later, token, LAMP.kid, now=34.0)
    assert later.open(35.0, None) == ()


def test_an_ended_invitation_is_remembered_for_a_day_then_forgotten() -> None:
    invitations = registry()
    token = invitations.invite(now=0, lifetime_s=60)
    with pytest.raises(Refused, match="expired"):
        redeem(invitations, token, now=60 + KEPT_S - 1)
    invitations.to_wire(now=60 + KEPT_S)
    assert len(invitations) == 0


def test_a_withdrawn_invitation_is_unknown() -> None:
    invitations = registry()
    token = invitations.invite(now=0)
    assert invitations.withdraw(token.token_id)
    assert not invitations.withdraw(token.token_id)
    with pytest.raises(Refused, match="no such token"):
        redeem(invitations, token)
    with pytest.raises(Misuse):
        invitations.redeemed(token.token_id, PUMP.kid)


def test_invitations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    invitations = registry()
    for bad in ({"uses": 0}, {"uses": 10_001}, {"lifetime_s": 0.0}, {"lifetime_s": 31 * 86_400.0}):
        with pytest.raises(Invalid):
            invitations.invite(now=0, **bad)
    monkeypatch.setattr(invitation, "MAX_INVITATIONS", 2)
    invitations.invite(now=0, lifetime_s=60)
    invitations.invite(now=0)
    with pytest.raises(Unavailable):
        invitations.invite(now=0)
    assert invitations.invite(now=60 + KEPT_S)


def test_damaged_storage_is_invalid() -> None:
    good = [bytes(8), bytes(16), [1], 1, 60, None, []]
    for at, value in ((0, 1), (1, b""), (2, [9]), (3, "1"), (4, None), (5, -1), (6, [b""])):
        item = [value if here == at else part for here, part in enumerate(good)]
        with pytest.raises(Invalid):
            Invitations.from_wire(cbor.encode([item]), AUTHORITY.mesh, HUB.kid, now=0)
    for data in (b"", cbor.encode({}), cbor.encode([good[:-1]])):
        with pytest.raises(Invalid):
            Invitations.from_wire(data, AUTHORITY.mesh, HUB.kid, now=0)
