"""Cipher suites 0 and 4 of EDHOC (RFC 9528 section 3.6): the two whose signatures are Ed25519 on X25519.

Both hash with SHA-256, exchange over X25519 and sign with EdDSA; they differ in the AEAD alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, ChaCha20Poly1305

from kos_edge.errors import Invalid

HASH_LENGTH: Final = 32
ECDH_LENGTH: Final = 32
SIGNATURE_LENGTH: Final = 64

AES_CCM_16_64_128: Final = 10  # COSE algorithm identifiers, RFC 9053
CHACHA20_POLY1305: Final = 24
SHA_256: Final = -16

METHOD_SIGNATURES: Final = 0
"""Both sides authenticate with a signature (RFC 9528 section 3.2): the one method we speak."""


@dataclass(frozen=True, slots=True)
class Suite:
    """What one cipher suite fixes. Lengths in bytes; `aead` and `hash` are COSE algorithm identifiers.

    The application algorithms, those of OSCORE, are the same as EDHOC's own in both suites.
    """

    number: int
    aead: int
    hash: int
    key_length: int
    nonce_length: int
    tag_length: int

    @property
    def identifier_limit(self) -> int:
        """The longest OSCORE sender or recipient id (RFC 8613 section 3.3: nonce length minus 6)."""
        return self.nonce_length - 6

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """The AEAD's ciphertext, its tag at the end."""
        return self._cipher(key).encrypt(nonce, plaintext, aad)

    def open(self, key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
        """The plaintext; Invalid when the tag does not fit."""
        if len(ciphertext) < self.tag_length:
            raise Invalid("the ciphertext is shorter than its tag")
        try:
            return self._cipher(key).decrypt(nonce, ciphertext, aad)
        except InvalidTag:
            raise Invalid("the ciphertext does not authenticate") from None

    def _cipher(self, key: bytes) -> _Aead:
        if self.aead == AES_CCM_16_64_128:
            return AESCCM(key, tag_length=self.tag_length)
        return ChaCha20Poly1305(key)


SUITES: Final[dict[int, Suite]] = {
    0: Suite(0, AES_CCM_16_64_128, SHA_256, key_length=16, nonce_length=13, tag_length=8),
    4: Suite(4, CHACHA20_POLY1305, SHA_256, key_length=32, nonce_length=12, tag_length=16),
}


class _Aead(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...
