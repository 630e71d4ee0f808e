"""Trust: whatever a stranger, a member or a rogue issuer may send, and what a person may type."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from kos_edge.bootstrap.enrolment import WISH, ask, check_hub, read_answer, read_wish
from kos_edge.errors import Invalid, Refused
from kos_edge.klp import cbor, cose
from kos_edge.klp.cose import Typ
from kos_edge.mesh import rotation
from kos_edge.mesh.claims import Claims, Role
from kos_edge.mesh.fork import verify_fork
from kos_edge.mesh.invitation import Invitations
from kos_edge.mesh.known_keys import KnownKeys
from kos_edge.mesh.membership import KCWT, claimed_mesh, verify_membership
from kos_edge.mesh.policy import verify_policy
from kos_edge.mesh.recovery import open_recovery_file
from kos_edge.mesh.revocation import Revocations, read_numbers, verify_revocation
from kos_edge.mesh.roster import Roster, resolve
from kos_edge.mesh.token import Token
from tests.fuzz.engine import vector_bytes
from tests.mesh.world import AUTHORITY, HUB, PUMP, T0, chance, hub
from tests.vectors.mesh_forks import PROOFS, proof

_HUB = hub()
_PUMP = _HUB.admit(PUMP.public, "pump", Role.EDGE, at=T0, capabilities=["group:cellar"])
_CROCKFORD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789abcdefghjkmnpqrstvwxyz")
_TOKEN = Invitations(AUTHORITY.mesh, HUB.kid, random=chance(1)).invite(now=0, mesh_name="farm")

_PROOFS = tuple(proof(_PUMP.cwt, *pair) for pair in PROOFS.values())

SEEDS = (
    *_PROOFS,
    _PUMP.cwt,
    cose.read_sign1(_PUMP.cwt).payload,
    _HUB.membership.cwt,
    _HUB.revoke(PUMP.kid, "sold", at=T0),
    _HUB.revocations.to_wire(),
    _HUB.roster.to_wire(),
    cbor.encode(_HUB.revocations.numbers()),
    cbor.encode({1: 1, 2: T0, 3: [[255, 0, "#", 0], ["cellar", 2, "a.*", PUMP.kid]]}),
    cbor.encode(
        rotation.header_value(AUTHORITY.key.public, AUTHORITY.rotate(at=T0, random=chance(2)).rotations)
    ),
    ask(Role.EDGE, "pump", th_3=b"", id_cred=b"", cred=b"", token=_TOKEN)[0][1] or b"",
    _TOKEN.text.encode(),
    b"kos-edge authority recovery file, version 1\n\nAAAA",
)


@cache
def _signed() -> frozenset[tuple[bytes, bytes]]:
    """What somebody really signed, in some vector or seed: payload and signature."""
    signed = set()
    for data in (*SEEDS, *vector_bytes()):
        with suppress(Invalid):
            message = cose.read_sign1(data)
            signed.add((message.payload, message.signature))
    return frozenset(signed)


def _is_forged(data: bytes) -> bool:
    message = cose.read_sign1(data)
    return (message.payload, message.signature) not in _signed()


def fuzz_membership(data: bytes) -> None:
    """Nothing passes as a membership of a mesh that its authority did not sign, and no error but Invalid."""
    membership = verify_membership(data, AUTHORITY.mesh)
    assert membership.cwt == data
    assert claimed_mesh(data) == AUTHORITY.mesh
    assert not _is_forged(data)


def fuzz_claims(data: bytes) -> None:
    """Claims that are accepted encode to the same bytes, and a rogue issuer makes no issuer with any."""
    cwt = cose.sign1(
        data,
        Typ.MEMBERSHIP,
        HUB,
        external_aad=AUTHORITY.mesh,
        unprotected={KCWT: cbor.decode(_HUB.membership.cwt)},
    )
    try:
        membership = verify_membership(cwt, AUTHORITY.mesh)
    except Invalid:
        Claims.from_wire(data)
        return
    assert Claims.from_wire(data).to_wire() == data
    assert membership.role is not Role.HUB
    assert not membership.can_issue


def fuzz_chain(data: bytes) -> None:
    """Whatever header stands beside a signature of somebody unknown, it makes no member."""
    header = cbor.decode(data)
    if not isinstance(header, dict) or any(isinstance(label, bytes) for label in header):
        raise Invalid("not a header")
    cwt = cose.sign1(b"\xa0", Typ.MEMBERSHIP, PUMP, external_aad=AUTHORITY.mesh, unprotected=header)
    try:
        verify_membership(cwt, AUTHORITY.mesh)
    except Invalid:
        return
    raise AssertionError("a member was made")


def fuzz_rotation(data: bytes) -> None:
    """The keys of an authority begin with the one that the mesh id is the hash of."""
    value = cbor.decode(data)
    keys = rotation.read_header(value, rotation.claimed_mesh(value))
    assert rotation.mesh_id(keys[0]) == rotation.claimed_mesh(value)
    assert len(set(keys)) == len(keys)


def fuzz_revocation(data: bytes) -> None:
    """A revocation is taken as a whole or not at all, and its payload may be anything."""
    try:
        revocation = verify_revocation(data, AUTHORITY.mesh)
    except Invalid:
        revocation = verify_revocation(_HUB.seal.sign(data, Typ.REVOCATION), AUTHORITY.mesh)
        assert revocation.issuer == HUB.kid
    else:
        assert revocation.raw == data
        assert not _is_forged(data)
    assert revocation.number >= 1


def fuzz_fork(data: bytes) -> None:
    """Nobody is accused by what the key has not signed: only proofs that were made pass."""
    assert verify_fork(data, AUTHORITY.mesh).raw == data
    assert data in _PROOFS or data in vector_bytes()


def fuzz_policy(data: bytes) -> None:
    """A policy answers for every rule that it could be read with."""
    policy = verify_policy(_HUB.seal.sign(data, Typ.POLICY), AUTHORITY.mesh)
    for rule in policy.rules:
        assert policy.allows(_PUMP, rule.action, "a.b", rule.target) in (True, False)


def fuzz_token(data: bytes) -> None:
    """A token that is read has one text, and what was typed wrong is Invalid with a reason."""
    text = data.decode("latin-1")
    body = data + hashlib.sha256(data).digest()[:5]
    whole = "kos1-" + base64.b32encode(body).decode().rstrip("=").translate(_CROCKFORD)
    for typed in (text, whole):
        try:
            token = Token.parse(typed)
        except Invalid:
            continue
        assert Token.parse(token.text) == token
        assert typed != whole or token.text == whole


def fuzz_wish(data: bytes) -> None:
    """What a newcomer may ask is a role, a name and a proof; nothing else is understood."""
    for label in (WISH, -WISH):
        try:
            wish = read_wish([(label, data)])
        except Invalid:
            continue
        assert wish is not None
        assert (wish.redeem is None) == (label == WISH)


def fuzz_answer(data: bytes) -> None:
    """An answer is our own membership, or a wait within bounds."""
    for label in (65002, 65003):
        try:
            answer = read_answer([(label, data)], mesh=AUTHORITY.mesh, public=PUMP.public)
        except Invalid:
            continue
        assert answer is not None


def fuzz_hub(data: bytes) -> None:
    """Whoever answers is a hub of the mesh that was asked for, or refused before anything is shown to it."""
    try:
        mesh, membership = check_hub("kcwt", data, mesh=None)
    except Refused:
        return
    assert claimed_mesh(data) == mesh
    assert membership.can_issue


def fuzz_stored_trust(data: bytes) -> None:
    """What was stored is read back as it was, or Invalid."""
    stores: tuple[Callable[[], bytes], ...] = (
        lambda: Revocations.from_wire(data, AUTHORITY.mesh).to_wire(),
        lambda: Roster.from_wire(data, AUTHORITY.mesh).to_wire(),
        lambda: KnownKeys.from_wire(data).to_wire(),
        lambda: Invitations.from_wire(data, AUTHORITY.mesh, HUB.kid, now=0).to_wire(0),
        lambda: cbor.encode(read_numbers(cbor.decode(data))),
    )
    for store in stores:
        try:
            store()
        except Invalid:
            continue


def fuzz_recovery_file(data: bytes) -> None:
    """What is no recovery file is Invalid before a passphrase is tried."""
    open_recovery_file(data, "correct horse battery")


def fuzz_who(data: bytes) -> None:
    """Whoever is named is one of those that there are, or nobody."""
    listed = [(PUMP.kid, "device", "pump"), (HUB.kid, "service", "hub")]
    assert resolve(data.decode("latin-1"), listed) in (PUMP.kid, HUB.kid)
