"""The recovery file: an authority, encrypted under a passphrase, as text that survives print and mail.

scrypt (RFC 7914) makes the key, ChaCha20-Poly1305 (RFC 8439) seals what is inside. A checksum tells a damaged
file from a wrong passphrase.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from kos_edge.errors import Invalid, KosError, Refused
from kos_edge.klp import cbor
from kos_edge.klp.identity import KeyPair
from kos_edge.mesh.authority import Authority

MIN_PASSPHRASE = 8
"""Characters. A copied file can be tried at leisure: scrypt makes a guess dear, not a short phrase good."""

MAX_FILE = 8_192
_TITLE = "kos-edge authority recovery file, version 1"
_VERSION = 1
_CHECKSUM = 8


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess costs: scrypt with n = 2^log_n, r = 8, p; 1 KiB * n of memory."""

    log_n: int
    p: int

    @property
    def bearable(self) -> bool:
        """Whether a file may ask for so much of the machine that opens it: up to 64 MiB."""
        return 1 <= self.log_n <= 16 and 1 <= self.p <= 16


COST = Cost(log_n=15, p=3)
"""32 MiB and 0.31 s on a 2-core x86, so some 2.5 s on a Pi Zero 2 W, which has 512 MB.
n = 2^17, p = 1 takes twice the time and 128 MiB."""


def recovery_file(
    authority: Authority,
    passphrase: str,
    *,
    cost: Cost = COST,
    random: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """The authority as a text file. Raises Invalid for a passphrase shorter than MIN_PASSPHRASE."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise Invalid(f"the passphrase has {len(passphrase)} characters, it needs at least {MIN_PASSPHRASE}")
    salt, nonce = random(16), random(12)
    head = [_VERSION, authority.mesh, cost.log_n, cost.p, salt, nonce]
    inside = cbor.encode([authority.key.seed, authority.first_public, list(authority.rotations)])
    sealed = ChaCha20Poly1305(passphrase_key(passphrase, salt, cost)).encrypt(
        nonce, inside, cbor.encode(head)
    )
    body = cbor.encode([*head, sealed])
    text = base64.b64encode(body + hashlib.sha256(body).digest()[:_CHECKSUM]).decode()
    lines = [
        _TITLE,
        "With its passphrase this file makes new hubs. Keep it away from them, in two places.",
        f"mesh: {authority.mesh.hex()}",
        "",
        *(text[at : at + 64] for at in range(0, len(text), 64)),
        "",
    ]
    return "\n".join(lines).encode()


def open_recovery_file(data: bytes, passphrase: str) -> Authority:
    """The authority in a recovery file.

    Raises Refused for a wrong passphrase, Invalid for a file that is damaged or no recovery file.
    """
    sealed = _read(data)
    try:
        key = passphrase_key(passphrase, sealed.salt, sealed.cost)
        inside = ChaCha20Poly1305(key).decrypt(sealed.nonce, sealed.text, sealed.head)
    except InvalidTag:
        raise Refused("the passphrase does not open this recovery file") from None
    match cbor.decode(inside, limit=MAX_FILE):
        case [bytes(seed), bytes(first), list(rotations)] if all(type(item) is bytes for item in rotations):
            authority = _authority(seed, first, tuple(rotations))
        case _:
            raise Invalid("the recovery file does not hold an authority")
    if authority.mesh != sealed.mesh:
        raise Invalid("the recovery file holds the authority of another mesh than it says")
    return authority


@dataclass(frozen=True, slots=True)
class _Sealed:
    mesh: bytes
    cost: Cost
    salt: bytes
    nonce: bytes
    text: bytes
    head: bytes
    """What the encryption authenticates besides: everything before the ciphertext, encoded."""


def _read(data: bytes) -> _Sealed:
    value = cbor.decode(_body(data), limit=MAX_FILE)
    if type(value) is list and value and (type(value[0]), value[0]) != (int, _VERSION):
        raise Invalid("the recovery file is of a version that is not known here", hint="update kos-edge")
    match value:
        case [int(), bytes(mesh), int(log_n), int(p), bytes(salt), bytes(nonce), bytes(text)]:
            if not Cost(log_n, p).bearable or len(nonce) != 12:
                raise Invalid("the recovery file asks for more work than any of ours does")
            return _Sealed(mesh, Cost(log_n, p), salt, nonce, text, cbor.encode(value[:-1]))
    raise Invalid("the recovery file is damaged")


def _body(data: bytes) -> bytes:
    """The binary part of the file, its checksum being right."""
    try:
        lines = [line.strip() for line in data[:MAX_FILE].decode("ascii").strip().splitlines()]
    except UnicodeDecodeError:
        lines = []
    if not lines or lines[0] != _TITLE or "" not in lines:
        raise Invalid("this is not an authority recovery file", hint=f"it begins with {_TITLE!r}")
    try:
        text = base64.b64decode("".join(lines[lines.index("") :]), validate=True)
    except binascii.Error:
        text = b""
    body, checksum = text[:-_CHECKSUM], text[-_CHECKSUM:]
    if hashlib.sha256(body).digest()[:_CHECKSUM] != checksum:
        raise Invalid("the recovery file is damaged", hint="use the other copy")
    return body


def _authority(seed: bytes, first: bytes, rotations: tuple[bytes, ...]) -> Authority:
    try:
        return Authority(KeyPair.from_seed(seed), first, rotations)
    except KosError as error:
        raise Invalid(f"the recovery file does not hold an authority: {error.message}") from None


def passphrase_key(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    """The 32 bytes of a passphrase, which counts as the same however a keyboard composes its accents (NFKC)."""
    text = unicodedata.normalize("NFKC", passphrase).encode()
    return Scrypt(salt=salt, length=32, n=2**cost.log_n, r=8, p=cost.p).derive(text)
