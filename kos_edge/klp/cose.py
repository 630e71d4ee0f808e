"""COSE_Sign1 (RFC 9052 section 4.2), untagged, with EdDSA and an explicit type in the protected header.

The protected header is exactly {1: -8 (EdDSA), 16: typ (RFC 9596)}. What a signature covers besides the
payload, its context, is the external_aad: always the mesh id, for packs also the count and the Merkle root.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.klp import cbor, identity

ALG_EDDSA = -8
HEADER_ALG = 1
HEADER_TYP = 16
MESH_BYTES = 32


class Typ(IntEnum):
    """What is signed (COSE header 16, experimental range of CoAP content formats)."""

    PACK = 65001
    MEMBERSHIP = 65002
    REVOCATION = 65003
    POLICY = 65004
    ROTATION = 65005
    TOMBSTONE = 65006
    RECEIPT = 65007
    NODE_RECORD = 65008
    MANIFEST = 65009
    BOOTSTRAP_ORDER = 65010
    CARRIED = 65011
    DIAGNOSIS = 65012


_PROTECTED_HEAD = b"\xa2\x01\x27\x10"  # {1: -8, 16:
_SIGNATURE1 = b"\x84\x6aSignature1"  # ["Signature1",


@dataclass(frozen=True, slots=True)
class Signed:
    """A COSE_Sign1 whose structure was checked, and whose signature was not: see `verify`."""

    protected: bytes
    unprotected: dict[Any, Any]
    payload: bytes
    signature: bytes = field(repr=False)
    typ: int
    raw: bytes = field(repr=False)
    """The whole structure, encoded as received."""

    def verify(self, public: bytes, *, typ: int, external_aad: bytes) -> None:
        """Invalid unless this was signed by `public`, as `typ`, in this context."""
        if self.typ != typ:
            raise Invalid(f"signed as type {self.typ}, not as {int(typ)}")
        identity.verify(public, self.signature, _to_be_signed(self.protected, external_aad, self.payload))


def sign1(
    payload: bytes,
    typ: int,
    key: identity.KeyPair,
    *,
    external_aad: bytes,
    unprotected: Mapping[int | str, Any] | None = None,
) -> bytes:
    """The encoded COSE_Sign1 of `payload`; `unprotected` is outside the signature."""
    return sign(payload, typ, key, external_aad=external_aad, unprotected=unprotected).raw


def sign(
    payload: bytes,
    typ: int,
    key: identity.KeyPair,
    *,
    external_aad: bytes,
    unprotected: Mapping[int | str, Any] | None = None,
) -> Signed:
    """The same with its parts."""
    protected = _PROTECTED_HEAD + cbor.head(0, typ)
    signature = key.sign(_to_be_signed(protected, external_aad, payload))
    said = dict(unprotected or {})
    outside = cbor.encode(said) if said else b"\xa0"
    return Signed(protected, said, payload, signature, typ, assemble(protected, outside, payload, signature))


def assemble(protected: bytes, unprotected: bytes, payload: bytes, signature: bytes) -> bytes:
    """The encoded COSE_Sign1 of these parts; `unprotected` is an encoded map, the others are contents."""
    strings = cbor.byte_string
    return b"\x84" + strings(protected) + unprotected + strings(payload) + strings(signature)


def read_sign1(data: bytes | list[Any], *, limit: int = cbor.MAX_BYTES) -> Signed:
    """The parts of a COSE_Sign1 given as bytes or as a decoded array; Invalid unless formed as here."""
    value = data if isinstance(data, list) else cbor.decode(data, limit=limit)
    if not isinstance(value, list) or len(value) != 4:
        raise Invalid("a COSE_Sign1 is an array of four")
    protected, unprotected, payload, signature = value
    if type(protected) is not bytes or type(payload) is not bytes or type(signature) is not bytes:
        raise Invalid("protected header, payload and signature of a COSE_Sign1 are byte strings")
    if type(unprotected) is not dict or (unprotected and any(type(label) is bytes for label in unprotected)):
        raise Invalid("the unprotected header of a COSE_Sign1 is a map with integers or text as keys")
    if len(signature) != identity.SIGNATURE_BYTES:
        raise Invalid(f"an EdDSA signature is 64 bytes, not {len(signature)}")
    typ = _typ(protected)
    outside = cbor.encode(unprotected) if unprotected else b"\xa0"
    raw = assemble(protected, outside, payload, signature)
    return Signed(protected, unprotected, payload, signature, typ, raw)


def _typ(protected: bytes) -> int:
    if protected[:5] == _PROTECTED_HEAD + b"\x19" and len(protected) == 7 and protected[5]:
        return protected[5] << 8 | protected[6]
    header = cbor.decode(protected)
    if type(header) is not dict or header.get(HEADER_ALG) != ALG_EDDSA:
        raise Invalid("the algorithm of a COSE_Sign1 is EdDSA, given in its protected header")
    typ = header.get(HEADER_TYP)
    if type(typ) is not int or typ < 0 or len(header) != 2:
        raise Invalid("the protected header of a COSE_Sign1 is exactly an algorithm and a type")
    return typ


def _to_be_signed(protected: bytes, external_aad: bytes, payload: bytes) -> bytes:
    """The encoded Sig_structure (RFC 9052 section 4.4)."""
    strings = cbor.byte_string
    return _SIGNATURE1 + strings(protected) + strings(external_aad) + strings(payload)
