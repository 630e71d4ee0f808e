"""The authority's key and its successors: from the mesh id to the key that signs today.

A mesh id is SHA-256 over the first authority's public key, for good. When the authority rotates, the old key
signs the new one (COSE typ 65005); whoever holds only the mesh id follows the records from the first key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.klp import cbor, cose
from kos_edge.klp.identity import PUBLIC_BYTES, KeyPair, check_public
from kos_edge.mesh.claims import read_time

AUTHORITY_HEADER = -65537
"""COSE header label, private use (RFC 9052 section 1.4): how the authority is shown, see `header_value`."""

MAX_ROTATIONS = 8
"""Successions that a verifier follows: about 1 KB, and one every few years outlasts a device."""

MAX_RECORD = 160

_NEW_KEY, _IAT, _NUMBER = 1, 2, 3


class OtherMesh(Invalid):
    """It is signed under another authority than this mesh's: honest, perhaps, but of another mesh."""


def mesh_id(first_public: bytes) -> bytes:
    """The 32-byte id of the mesh whose first authority has this key."""
    return hashlib.sha256(first_public).digest()


def sign_rotation(old: KeyPair, new_public: bytes, *, mesh: bytes, number: int, at: int) -> bytes:
    """The record by which `old` names its successor, numbered from 1; `at` in seconds since 1970."""
    check_public(new_public)
    payload = cbor.encode({_NEW_KEY: new_public, _IAT: at, _NUMBER: number})
    return cose.sign1(payload, cose.Typ.ROTATION, old, external_aad=mesh)


def follow(first_public: bytes, records: Sequence[bytes], mesh: bytes) -> tuple[bytes, ...]:
    """All authority keys, the first to the current one, each but the first signed by the one before.

    Raises OtherMesh if `first_public` is not this mesh's, Invalid for anything else that is wrong.
    """
    if mesh_id(first_public) != mesh:
        raise OtherMesh("signed under the authority of another mesh")
    check_public(first_public)
    if len(records) > MAX_ROTATIONS:
        raise Invalid(f"more than {MAX_ROTATIONS} rotations of the authority")
    keys = [first_public]
    for number, record in enumerate(records, start=1):
        signed = cose.read_sign1(record, limit=MAX_RECORD)
        if signed.unprotected:
            raise Invalid("a rotation of the authority carries no unprotected header")
        signed.verify(keys[-1], typ=cose.Typ.ROTATION, external_aad=mesh)
        public = _read_payload(signed.payload, number)
        if public in keys:
            raise Invalid("a rotation of the authority goes back to an earlier key")
        keys.append(public)
    return tuple(keys)


def header_value(first_public: bytes, records: Sequence[bytes]) -> Any:
    """What stands under `AUTHORITY_HEADER`: the key alone, or [first key, + record] once it was rotated."""
    return [first_public, *records] if records else first_public


def read_header(value: object, mesh: bytes) -> tuple[bytes, ...]:
    """The authority's keys, verified, from its header's value. Raises Invalid, OtherMesh."""
    first, records = _parts(value)
    return follow(first, records, mesh)


def claimed_mesh(value: object) -> bytes:
    """The mesh id that an authority header belongs to, nothing else being checked. Raises Invalid."""
    return mesh_id(_parts(value)[0])


def _parts(value: object) -> tuple[bytes, list[bytes]]:
    if type(value) is bytes and len(value) == PUBLIC_BYTES:
        return value, []
    if type(value) is list and len(value) >= 2 and all(type(part) is bytes for part in value):
        return _parts(value[0])[0], value[1:]
    raise Invalid("the authority is not shown as its key, or its first key and the rotations since")


def _read_payload(payload: bytes, number: int) -> bytes:
    value = cbor.decode(payload, limit=MAX_RECORD)
    if type(value) is not dict or set(value) != {_NEW_KEY, _IAT, _NUMBER}:
        raise Invalid("a rotation of the authority has exactly a key, a time and a number")
    read_time(value[_IAT])
    if type(value[_NUMBER]) is not int or value[_NUMBER] != number:
        raise Invalid("the rotations of the authority are not numbered 1, 2, 3, …")
    public = value[_NEW_KEY]
    if type(public) is not bytes:
        raise Invalid("a rotation of the authority names no key")
    check_public(public)
    return public
