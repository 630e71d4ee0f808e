"""How a key is shown in a handshake (RFC 9528 section 3.5): `kcwt` by a member, `kccs` by a newcomer.

Both travel by value in ID_CRED: {13: CWT} and {14: CCS}. CRED, the thing that gets signed, is that value's
encoding exactly as received. Nothing here decides whether a credential is good: it only finds the key in
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from kos_edge.bootstrap.wire import UnknownCredential
from kos_edge.errors import Invalid
from kos_edge.klp import cbor, cose

KCWT: Final = 13  # COSE header parameters, registered by RFC 9528
KCCS: Final = 14

CLAIM_SUB: Final = 2  # RFC 8392
CLAIM_CNF: Final = 8  # RFC 8747
CNF_COSE_KEY: Final = 1

_KTY, _ALG, _CRV, _X = 1, 3, -1, -2  # COSE_Key, RFC 9053 section 7
_OKP, _ED25519, _EDDSA = 1, 6, -8

MAX_NAME: Final = 255
"""Bytes of the name in a CCS: it is a stranger's text."""


class Kind(StrEnum):
    """Which credential it is."""

    KCWT = "kcwt"
    KCCS = "kccs"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a node shows of itself: ID_CRED and CRED, both encoded as the transcript has them."""

    id_cred: bytes
    cred: bytes


@dataclass(frozen=True, slots=True)
class Presented:
    """What the other side showed: the raw Ed25519 key found in it, unproven until the signature is verified.

    `name` is the subject that a CCS gives itself, "" otherwise.
    """

    kind: Kind
    id_cred: bytes
    cred: bytes
    public: bytes
    name: str = ""


def cose_key(public: bytes) -> dict[int, Any]:
    """The COSE_Key of a raw Ed25519 public key, with nothing but what identifies it."""
    return {_KTY: _OKP, _CRV: _ED25519, _X: public}


def kccs(public: bytes, name: str = "") -> Credential:
    """A CWT claims set that nobody signed: what a newcomer shows."""
    ccs = {CLAIM_SUB: name, CLAIM_CNF: {CNF_COSE_KEY: cose_key(public)}}
    return Credential(cbor.encode({KCCS: ccs}), cbor.encode(ccs))


def kcwt(cwt: bytes) -> Credential:
    """A membership, as signed: what a member shows. Invalid when `cwt` is not deterministic CBOR."""
    return Credential(cbor.encode({KCWT: cbor.decode(cwt)}), cwt)


def read(id_cred: bytes) -> Presented:
    """The credential that an ID_CRED carries.

    Raises UnknownCredential for a kind that we do not take (a certificate, a reference), Invalid for a kccs
    or kcwt without exactly one Ed25519 key.
    """
    value = cbor.decode(id_cred)
    if not isinstance(value, dict) or len(value) != 1:
        raise Invalid("ID_CRED is not one header parameter")
    [(label, shown)] = value.items()
    if label == KCWT:
        payload = cose.read_sign1(shown).payload if isinstance(shown, list) else None
        if payload is None:
            raise Invalid("a kcwt is an untagged COSE_Sign1")
        return Presented(Kind.KCWT, id_cred, cbor.encode(shown), _key_of(cbor.decode(payload), "the kcwt"))
    if label == KCCS:
        public = _key_of(shown, "the kccs")
        return Presented(Kind.KCCS, id_cred, cbor.encode(shown), public, _name_of(shown))
    raise UnknownCredential(f"a credential of kind {label} is not taken; kcwt and kccs are")


def _key_of(claims: Any, what: str) -> bytes:
    cnf = claims.get(CLAIM_CNF) if isinstance(claims, dict) else None
    key = cnf.get(CNF_COSE_KEY) if isinstance(cnf, dict) and len(cnf) == 1 else None
    if not isinstance(key, dict):
        raise Invalid(f"{what} confirms no COSE_Key")
    public = key.get(_X)
    ed25519 = key.get(_KTY) == _OKP and key.get(_CRV) == _ED25519 and key.get(_ALG, _EDDSA) == _EDDSA
    if not ed25519 or not isinstance(public, bytes) or len(public) != 32:
        raise Invalid(f"the key in {what} is not an Ed25519 public key")
    return public


def _name_of(claims: Any) -> str:
    name = claims.get(CLAIM_SUB, "")
    if not isinstance(name, str) or len(name.encode()) > MAX_NAME:
        raise Invalid(f"the name in the kccs is not a text of at most {MAX_NAME} bytes")
    return name
