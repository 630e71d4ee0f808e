"""Memberships verified once more, from `docs/protocol/membership.md` alone, with nothing of ours."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

P = 2**255 - 19
SMALL = {0, 1, P - 1} | {
    int.from_bytes(bytes.fromhex(text), "little")
    for text in (
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
}
CLAIMS = {1, 2, 4, 5, 6, 7, 8, -65537, -65538, -65539}
Revoked = dict[str, set[bytes]]
"""Kids by the standing in which they are shut out."""


class No(Exception):
    """It does not verify."""


def want(condition: object) -> None:
    if not condition:
        raise No


def load(data: bytes) -> Any:
    try:
        value = cbor2.loads(data)
    except Exception as error:
        raise No from error
    want(encode(value) == data)
    return value


def encode(value: Any) -> bytes:
    """Deterministic by RFC 8949 section 4.2.1; cbor2's canonical form sorts keys by length first."""
    if isinstance(value, dict):
        pairs = sorted((encode(key), encode(item)) for key, item in value.items())
        return bytes([0xA0 | len(pairs)]) + b"".join(key + item for key, item in pairs)
    if isinstance(value, list):
        return cbor2.dumps([None] * len(value))[: 1 if len(value) < 24 else 2] + b"".join(map(encode, value))
    return cbor2.dumps(value)


def kid_of(public: bytes) -> bytes:
    return hashlib.sha256(public).digest()[:16]


def check_key(public: Any) -> None:
    want(isinstance(public, bytes) and len(public) == 32)
    y = int.from_bytes(public, "little") & (2**255 - 1)
    want(y < P and y not in SMALL)


def check_signature(parts: list[Any], public: bytes, mesh: bytes) -> None:
    over = encode(["Signature1", parts[0], mesh, parts[2]])
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(parts[3], over)
    except InvalidSignature as error:
        raise No from error


def check_shape(parts: Any, typ: int) -> None:
    want(isinstance(parts, list) and len(parts) == 4)
    want(load(parts[0]) == {1: -8, 16: typ})
    want(isinstance(parts[1], dict) and isinstance(parts[2], bytes) and isinstance(parts[3], bytes))


def authority(shown: Any, mesh: bytes) -> list[bytes]:
    """Section 5: all keys, first to current."""
    first, records = (shown[0], shown[1:]) if isinstance(shown, list) else (shown, [])
    check_key(first)
    want(hashlib.sha256(first).digest() == mesh and len(records) <= 8)
    keys = [first]
    for number, record in enumerate(records, start=1):
        parts = load(record)
        check_shape(parts, 65005)
        want(parts[1] == {})
        check_signature(parts, keys[-1], mesh)
        content = load(parts[2])
        want(set(content) == {1, 2, 3} and content[3] == number and content[1] not in keys)
        check_key(content[1])
        keys.append(content[1])
    return keys


def signer(unprotected: dict[Any, Any], mesh: bytes) -> tuple[bytes, str, list[bytes], dict[int, Any] | None]:
    """Key, namespace, the authority's keys, and the issuer's claims if it is an issuer."""
    want(len(unprotected) == 1)
    if -65537 in unprotected:
        keys = authority(unprotected[-65537], mesh)
        return keys[-1], "authority", keys, None
    want(13 in unprotected)
    want(isinstance(unprotected[13], list) and set(unprotected[13][1]) == {-65537})
    claims, keys = chain(unprotected[13], mesh)
    return claims[8][1][-2], claims[-65539], keys, claims


def chain(parts: Any, mesh: bytes) -> tuple[dict[int, Any], list[bytes]]:
    """Section 4.1, steps 1 to 8."""
    check_shape(parts, 65002)
    public, namespace, keys, issuer = signer(parts[1], mesh)
    check_signature(parts, public, mesh)
    claims = load(parts[2])
    want(isinstance(claims, dict) and set(claims) == CLAIMS)
    want(re.fullmatch("[a-z0-9][a-z0-9-]{0,62}", claims[2]))
    want(claims[5] <= claims[6] < claims[4] and len(claims[7]) == 8)
    want(set(claims[8]) == {1} and set(claims[8][1]) == {1, -1, -2})
    want((claims[8][1][1], claims[8][1][-1]) == (1, 6))
    check_key(claims[8][1][-2])
    want(claims[-65537] in range(4) and claims[-65539] in ("agent", "device", "service", "user"))
    capabilities = claims[-65538]
    want(len(capabilities) <= 16 and capabilities == sorted(set(capabilities)))
    want(claims[1] == f"kid:{namespace}:{kid_of(public).hex()}")
    want(kid_of(claims[8][1][-2]) not in {kid_of(key) for key in (*keys, public)})
    if issuer is None:
        want(claims[-65537] == 0 and "issue" in capabilities)
    else:
        want(claims[-65537] != 0 and "issue" not in capabilities and claims[4] <= issuer[4])
    return claims, keys


def membership(data: bytes, mesh: bytes, revoked: Revoked | None = None) -> dict[int, Any]:
    """Section 4.1, all steps."""
    parts = load(data)
    claims, keys = chain(parts, mesh)
    out = revoked or {}
    own = "issuer" if -65537 in parts[1] else "member"
    want(kid_of(claims[8][1][-2]) not in out.get(own, set()))
    want(kid_of(keys[-1]) not in out.get("authority", set()))
    if own == "member":
        want(kid_of(signer(parts[1], mesh)[0]) not in out.get("issuer", set()))
    return claims


def revocation(data: bytes, mesh: bytes) -> tuple[dict[int, Any], set[str]]:
    """Section 6: the content, and the standings in which it shuts the key out."""
    parts = load(data)
    check_shape(parts, 65003)
    public, _, keys, issuer = signer(parts[1], mesh)
    check_signature(parts, public, mesh)
    content = load(parts[2])
    want(isinstance(content, dict) and set(content) == {1, 2, 3, 4})
    want(1 <= content[1] < 2**32 and len(content[2]) == 16 and len(content[4]) <= 120)
    standings = {"member"}
    if issuer is None:
        standings |= {"issuer"}
        standings |= {"authority"} if content[2] in map(kid_of, keys[:-1]) else set()
    return content, standings
