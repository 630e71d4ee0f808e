"""Memberships, revocations and policies, good and bad, as vectors."""

from __future__ import annotations

from functools import partial
from typing import Any

from kos_edge.klp import cbor, cose
from kos_edge.klp.cose import Typ
from kos_edge.klp.identity import KeyPair, kid_text
from kos_edge.mesh import rotation
from kos_edge.mesh.claims import Role
from kos_edge.mesh.issuer import Issuer
from kos_edge.mesh.membership import KCWT, REPLACES, issuer_seal, verify_membership
from kos_edge.mesh.policy import STARTER, Action, Rule, sign_policy
from kos_edge.mesh.revocation import Revocations, sign_revocation
from kos_edge.mesh.roster import Roster
from tests.mesh.world import AUTHORITY, HUB, LAMP, OTHER_AUTHORITY, PUMP, ROGUE, SECOND_HUB, T0, chance, hub
from tests.vectors.mesh_judge import (
    MESH,
    Vector,
    complaint,
    decoded_membership,
    decoded_policy,
    decoded_revocation,
    judged,
)

SMALL_ORDER = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
ROTATED = AUTHORITY.rotate(at=T0, random=chance(11))
"""The same mesh's authority, one key later."""


def memberships() -> list[Vector]:
    """Chains that verify, and chains in which one thing is wrong."""
    pump = hub().admit(PUMP.public, "pump", Role.EDGE, at=T0)
    rich = hub().admit(
        LAMP.public, "lamp", Role.RELAY, at=T0, capabilities=["group:cellar", "sponsor"], namespace="service"
    )
    rotated = ROTATED.issue_issuer(HUB.public, "hub", at=T0, random=chance(2))
    after = Issuer(HUB, rotated, MESH, Roster(), Revocations(MESH), random=chance(3))
    by_rotated = after.admit(PUMP.public, "pump", Role.EDGE, at=T0)
    claims: dict[int, Any] = cbor.decode(cose.read_sign1(pump.cwt).payload)
    parts: list[Any] = cbor.decode(pump.cwt)
    header = {KCWT: cbor.decode(hub().membership.cwt)}

    def signed(changed: dict[int, Any], **how: Any) -> bytes:
        options: dict[str, Any] = {"who": HUB, "typ": Typ.MEMBERSHIP, "mesh": MESH, "header": header} | how
        return cose.sign1(
            cbor.encode({label: value for label, value in (claims | changed).items() if value is not None}),
            options["typ"],
            options["who"],
            external_aad=options["mesh"],
            unprotected=options["header"],
        )

    by_member = {KCWT: cbor.decode(pump.cwt)}
    by_authority = {rotation.AUTHORITY_HEADER: AUTHORITY.key.public}
    authority_text = kid_text(AUTHORITY.kid, "authority")
    flipped = cbor.decode(pump.cwt)
    flipped[3] = parts[3][:-1] + bytes([parts[3][-1] ^ 1])
    no_rotation = cbor.decode(rotated.cwt)
    no_rotation[1] = by_authority
    wrong: dict[str, bytes] = {
        "bad-signature": cbor.encode(flipped),
        "bad-trailing-byte": pump.cwt + b"\x00",
        "bad-tagged": b"\xd2" + pump.cwt,
        "bad-typ-revocation": signed({}, typ=Typ.REVOCATION),
        "bad-mesh-in-signature": signed({}, mesh=OTHER_AUTHORITY.mesh),
        "bad-mesh-of-authority": hub(HUB, "hub", OTHER_AUTHORITY)
        .admit(PUMP.public, "pump", Role.EDGE, at=T0)
        .cwt,
        "bad-signed-by-stranger": signed({}, who=ROGUE),
        "bad-signed-by-member": signed({1: kid_text(PUMP.kid), 8: _cnf(LAMP)}, who=PUMP, header=by_member),
        "bad-no-signer-shown": signed({}, header={}),
        "bad-two-signers-shown": signed({}, header=header | by_authority),
        "bad-iss": signed({1: kid_text(ROGUE.kid)}),
        "bad-iss-namespace": signed({1: kid_text(HUB.kid, "service")}),
        "bad-issuer-makes-hub": signed({-65537: 0}),
        "bad-issuer-makes-issuer": signed({-65538: ["issue"]}),
        "bad-authority-makes-edge": signed({1: authority_text}, who=AUTHORITY.key, header=by_authority),
        "bad-own-key": signed({8: _cnf(HUB)}),
        "bad-authority-key": signed({8: _cnf(AUTHORITY.key)}),
        "bad-small-order-key": signed({8: {1: {1: 1, -1: 6, -2: SMALL_ORDER}}}),
        "bad-outlasts-issuer": signed({4: hub().membership.not_after + 1}),
        "bad-times": signed({4: T0}),
        "bad-name": signed({2: "Pump"}),
        "bad-namespace": signed({-65539: "authority"}),
        "bad-claim-missing": signed({7: None}),
        "bad-claim-unknown": signed({3: "somebody"}),
        "bad-capabilities-order": signed({-65538: ["b", "a"]}),
        "bad-role": signed({-65537: 4}),
        "bad-algorithm": cbor.encode([cbor.encode({1: -7, 16: 65002}), *parts[1:]]),
        "bad-protected-extra": cbor.encode([cbor.encode({1: -8, 4: b"", 16: 65002}), *parts[1:]]),
        "bad-rotation-hidden": cbor.encode(no_rotation),
    }
    good = {"issuer": hub().membership.cwt, "member": pump.cwt, "member-with-everything": rich.cwt}
    successor = AUTHORITY.issue_issuer(
        SECOND_HUB.public, "hub", at=T0, capabilities=(REPLACES,), random=chance(12)
    )
    good["issuer-that-replaces"] = successor.cwt
    good |= {"issuer-after-rotation": rotated.cwt, "member-after-rotation": by_rotated.cwt}
    valid = [judged(name, "membership", data, decoded_membership) for name, data in good.items()]
    invalid = [judged(name, "membership", data, decoded_membership) for name, data in wrong.items()]
    return [*valid, *invalid, *_shut_out(pump.cwt)]


def _shut_out(cwt: bytes) -> list[Vector]:
    """A good membership, and revocations that a verifier holds: who is refused, and who is not."""
    cases = {
        "revoked-by-its-issuer": (hub().seal, PUMP.kid, True),
        "revoked-by-another-issuer": (hub(SECOND_HUB, "attic").seal, PUMP.kid, True),
        "issuer-revoked-by-the-authority": (AUTHORITY.seal, HUB.kid, True),
        "issuer-revoked-by-another-issuer": (hub(SECOND_HUB, "attic").seal, HUB.kid, False),
        "authority-revoked-by-its-successor": (ROTATED.seal, AUTHORITY.kid, True),
        "authority-revoked-by-an-issuer": (hub(SECOND_HUB, "attic").seal, AUTHORITY.kid, False),
    }
    vectors = []
    for name, (seal, kid, refused) in cases.items():
        revocation = sign_revocation(seal, kid, number=1, reason="an example", at=T0)
        held = Revocations(MESH)
        held.add(revocation)
        vector = {
            "name": name,
            "kind": "shut-out",
            "mesh": MESH.hex(),
            "revocations": [revocation.hex()],
            "membership": cwt.hex(),
            "refused": refused,
        }
        why = complaint(partial(verify_membership, cwt, MESH, revoked=held.is_revoked))
        if (why is not None) != refused:
            raise ValueError(f"{name}: {why or 'not refused'}")
        vectors.append(vector | ({"why": why} if why else {}))
    return vectors


def revocations() -> list[Vector]:
    """Revocations by an issuer and by the authority, wrong ones, and what a member says it holds."""
    seal = hub().seal
    first = sign_revocation(seal, PUMP.kid, number=1, reason="sold", at=T0)
    member = hub().admit(PUMP.public, "pump", Role.EDGE, at=T0)

    def signed(content: dict[int, Any], typ: Typ = Typ.REVOCATION) -> bytes:
        return seal.sign(cbor.encode({1: 1, 2: PUMP.kid, 3: T0, 4: "sold"} | content), typ)

    cases = {
        "by-issuer": first,
        "by-issuer-second": sign_revocation(seal, LAMP.kid, number=2, reason="", at=T0 + 60),
        "by-authority": sign_revocation(AUTHORITY.seal, HUB.kid, number=1, reason="stolen", at=T0),
        "by-successor": sign_revocation(ROTATED.seal, AUTHORITY.kid, number=1, reason="rotated", at=T0),
        "bad-signature": first[:-1] + bytes([first[-1] ^ 1]),
        "bad-typ-membership": signed({}, Typ.MEMBERSHIP),
        "bad-signed-by-member": sign_revocation(
            issuer_seal(PUMP, member, MESH), LAMP.kid, number=1, reason="", at=T0
        ),
        "bad-number-zero": signed({1: 0}),
        "bad-kid": signed({2: PUMP.kid[:8]}),
        "bad-unknown-field": signed({5: 0}),
        "bad-reason-long": signed({4: "x" * 121}),
    }
    vectors = [judged(name, "revocation", data, decoded_revocation) for name, data in cases.items()]
    held = Revocations(MESH)
    for name in ("by-issuer", "by-issuer-second", "by-authority"):
        held.add(cases[name])
    return [
        *vectors,
        {"name": "held", "kind": "held", "cddl": "held", "hex": cbor.encode(held.numbers()).hex()},
    ]


def policies() -> list[Vector]:
    """The starter policy, another, and wrong ones."""
    rules = (*STARTER, Rule("group:cellar", Action.READ, "air.*", f"kid:{PUMP.kid.hex()}"))
    starter = sign_policy(AUTHORITY.seal, STARTER, number=1, at=T0)
    wrong = cbor.encode({1: 2, 2: T0, 3: [[255, 3, "#", 0]]})
    cases = {
        "starter": starter,
        "with-a-group": sign_policy(hub().seal, rules, number=2, at=T0),
        "bad-signature": starter[:-1] + bytes([starter[-1] ^ 1]),
        "bad-action": hub().seal.sign(wrong, Typ.POLICY),
    }
    return [judged(name, "policy", data, decoded_policy) for name, data in cases.items()]


def _cnf(who: KeyPair) -> dict[int, Any]:
    return {1: {1: 1, -1: 6, -2: who.public}}
