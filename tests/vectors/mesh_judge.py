"""What our verifier says of mesh vectors, and the shape in which it is written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kos_edge.errors import KosError
from kos_edge.klp import cbor, cose
from kos_edge.mesh.membership import GRACE_S, verify_membership
from kos_edge.mesh.policy import verify_policy
from kos_edge.mesh.revocation import verify_revocation
from tests.mesh.world import AUTHORITY

MESH = AUTHORITY.mesh

Vector = dict[str, Any]

CDDL_CANNOT_SEE = frozenset(
    (
        "bad-signature",
        "bad-mesh-in-signature",
        "bad-mesh-of-authority",
        "bad-signed-by-stranger",
        "bad-iss",
        "bad-iss-namespace",
        "bad-issuer-makes-issuer",
        "bad-own-key",
        "bad-authority-key",
        "bad-small-order-key",
        "bad-outlasts-issuer",
        "bad-times",
        "bad-capabilities-order",
        "bad-rotation-hidden",
        "bad-reason-long",
    )
)
"""Wrong cases that have the right shape."""


def judged(name: str, kind: str, data: bytes, decode: Callable[[bytes], Vector]) -> Vector:
    """A vector with what our verifier says; what a name that begins with `bad-` stands for is not valid."""
    vector: Vector = {"name": name, "kind": kind, "valid": not name.startswith("bad-"), "mesh": MESH.hex()}
    seen = vector["valid"] or name in CDDL_CANNOT_SEE
    vector |= {"hex": data.hex(), "cddl": kind, "cddl_valid": seen}
    why = complaint(lambda: decode(data))
    if (why is None) != vector["valid"]:
        raise ValueError(f"{kind} {name}: {why or 'it is valid'}")
    return vector | ({"why": why} if why else _worked(data, decode(data)))


def _worked(data: bytes, decoded: Vector) -> Vector:
    """What a verifier comes by on its way: the payload, and the bytes that the signature is over."""
    signed = cose.read_sign1(data)
    to_be_signed = cbor.encode(["Signature1", signed.protected, MESH, signed.payload])
    return {"payload": signed.payload.hex(), "to_be_signed": to_be_signed.hex(), "decoded": decoded}


def complaint(judge: Callable[[], object]) -> str | None:
    """The message of the error that judging raises, None if it raises none."""
    try:
        judge()
    except KosError as error:
        return error.message
    return None


def decoded_membership(data: bytes) -> Vector:
    """A valid membership as JSON. Raises as its verification does."""
    found = verify_membership(data, MESH)
    return {
        "public": found.public.hex(),
        "kid": found.text,
        "name": found.name,
        "role": found.role.text,
        "capabilities": list(found.capabilities),
        "namespace": found.namespace,
        "issuer": found.issuer.hex(),
        "issued_at": found.issued_at,
        "not_before": found.not_before,
        "not_after": found.not_after,
        "expired_from": int(found.not_after + GRACE_S),
    }


def decoded_revocation(data: bytes) -> Vector:
    """A valid revocation as JSON. Raises as its verification does."""
    found = verify_revocation(data, MESH)
    return {
        "kid": found.kid.hex(),
        "number": found.number,
        "reason": found.reason,
        "at": found.at,
        "issuer": found.issuer.hex(),
        "by_authority": found.standing.name == "AUTHORITY",
        "predecessors": [kid.hex() for kid in found.predecessors],
    }


def decoded_policy(data: bytes) -> Vector:
    """A valid policy as JSON. Raises as its verification does."""
    found = verify_policy(data, MESH)
    rules = [[rule.who, rule.action.name.lower(), rule.filter, rule.target] for rule in found.rules]
    return {"number": found.number, "at": found.at, "signer": found.signer.hex(), "rules": rules}
