"""What a pack and a message shown alone have in common: the signed header, and what its signature covers."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.klp import cbor, cose, identity
from kos_edge.klp.header import CHAIN_BYTES, Header

MAX_PACK = 69_632
"""Bytes of a sealed pack at most: the largest message, and room for its header and topic."""

MAX_ITEMS = 1_024
"""CBOR items of a pack before its signature is checked; a full pack without any of its messages has 778."""


def context(mesh: bytes, count: int, root: bytes) -> bytes:
    """The external_aad of a pack: mesh id (32 bytes), count (2 bytes, big endian), Merkle root (32 bytes)."""
    if len(mesh) != cose.MESH_BYTES:
        raise Invalid(f"a mesh id is {cose.MESH_BYTES} bytes, not {len(mesh)}")
    return mesh + count.to_bytes(2, "big") + root


def read(value: Any) -> tuple[cose.Signed, Header]:
    """The COSE_Sign1 and its header from a decoded array; the signature is not checked."""
    if type(value) is not list:
        raise Invalid("a pack begins with a COSE_Sign1")
    signed = cose.read_sign1(value)
    if signed.typ != cose.Typ.PACK:
        raise Invalid(f"signed as type {signed.typ}, which is not a pack")
    if signed.unprotected:
        raise Invalid("the unprotected header of a pack is empty")
    return signed, Header.decode(signed.payload)


def verify(header: Header, signed: cose.Signed, public: bytes, external_aad: bytes) -> None:
    """Invalid unless `public` is the key of the source in the header, and signed this in this context."""
    if identity.kid_of(public) != header.stream.source:
        raise Invalid("the key is not that of the source")
    signed.verify(public, typ=cose.Typ.PACK, external_aad=external_aad)


def assemble(signed: bytes, slots: Iterable[bytes]) -> bytes:
    """The bytes of a pack of an encoded COSE_Sign1 and encoded slots."""
    return b"\x82" + signed + cbor.array(slots)


def chain_hash(signed: bytes) -> bytes:
    """The first 16 bytes of SHA-256 over an encoded COSE_Sign1."""
    return sha256(signed).digest()[:CHAIN_BYTES]
