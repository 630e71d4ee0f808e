"""Who signs: Ed25519 keys (RFC 8032), the kid that names a key, and words that people compare.

A `kid` is the first 16 bytes of SHA-256 over the raw public key. Its text is `kid:<namespace>:<32 hex>`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kos_edge.errors import Invalid

KID_BYTES = 16
PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64
DEFAULT_NAMESPACE = "device"

_KID_TEXT = re.compile(r"kid:([a-z0-9][a-z0-9-]{0,31}):([0-9a-f]{32})")
_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
# The y of the points of order 1, 2, 4 and 8: keys for which a signature of anything can be made up.
_ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER = frozenset((0, 1, _P - 1, _ORDER_8, _P - _ORDER_8))


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An Ed25519 key pair. `seed` is the secret (32 bytes) and stays out of `repr`."""

    seed: bytes = field(repr=False)
    public: bytes
    kid: bytes
    _private: Ed25519PrivateKey = field(repr=False, compare=False)

    @classmethod
    def generate(cls, random: Callable[[int], bytes] = os.urandom) -> KeyPair:
        """A new key from 32 bytes of `random`."""
        return cls.from_seed(random(32))

    @classmethod
    def from_seed(cls, seed: bytes) -> KeyPair:
        """The key of a 32-byte seed (RFC 8032 section 5.1.5); Invalid for another length."""
        if len(seed) != 32:
            raise Invalid(f"a key's seed is 32 bytes, not {len(seed)}")
        private = Ed25519PrivateKey.from_private_bytes(seed)
        public = private.public_key().public_bytes_raw()
        return cls(bytes(seed), public, kid_of(public), private)

    def sign(self, data: bytes) -> bytes:
        """The 64-byte signature over `data`."""
        return self._private.sign(data)


def kid_of(public: bytes) -> bytes:
    """The 16-byte name of a raw public key."""
    return hashlib.sha256(public).digest()[:KID_BYTES]


def check_public(public: bytes) -> None:
    """Invalid unless `public` is the one encoding of a point on the curve that is not of small order."""
    _public_key(bytes(public))


def verify(public: bytes, signature: bytes, data: bytes) -> None:
    """Invalid unless `signature` is that of the key over `data`; keys as in `check_public`."""
    if len(signature) != SIGNATURE_BYTES:
        raise Invalid(f"a signature is 64 bytes, not {len(signature)}")
    try:
        _public_key(bytes(public)).verify(signature, data)
    except InvalidSignature:
        raise Invalid("the signature is not valid for this key and these bytes") from None


def kid_text(kid: bytes, namespace: str = DEFAULT_NAMESPACE) -> str:
    """`kid:<namespace>:<32 hex>`."""
    if len(kid) != KID_BYTES:
        raise Invalid(f"a kid is {KID_BYTES} bytes, not {len(kid)}")
    if not _NAMESPACE.fullmatch(namespace):
        raise Invalid(f"{namespace!r} is not a namespace: lower-case letters, digits and '-', at most 32")
    return f"kid:{namespace}:{kid.hex()}"


def parse_kid(text: str) -> tuple[str, bytes]:
    """The namespace and the 16 bytes of a kid's text."""
    match = _KID_TEXT.fullmatch(text)
    if match is None:
        raise Invalid("not a kid", hint="a kid looks like kid:device:0123456789abcdef0123456789abcdef")
    return match[1], bytes.fromhex(match[2])


def fingerprint_words(kid_or_public: bytes) -> str:
    """Five pronounceable words (proquints) for 80 bits of SHA-256 over the public key.

    Both names of a key give the same words. A word is 16 bits: consonant, vowel, consonant, vowel, consonant.
    """
    if len(kid_or_public) == PUBLIC_BYTES:
        kid_or_public = kid_of(kid_or_public)
    if len(kid_or_public) != KID_BYTES:
        raise Invalid("words are made of a 16-byte kid or a 32-byte public key")
    return "-".join(_proquint(int.from_bytes(kid_or_public[at : at + 2], "big")) for at in range(0, 10, 2))


def _proquint(number: int) -> str:
    consonants, vowels = "bdfghjklmnprstvz", "aiou"
    return (
        consonants[number >> 12]
        + vowels[number >> 10 & 3]
        + consonants[number >> 6 & 15]
        + vowels[number >> 4 & 3]
        + consonants[number & 15]
    )


@lru_cache(maxsize=4096)
def _public_key(public: bytes) -> Ed25519PublicKey:
    if len(public) != PUBLIC_BYTES:
        raise Invalid(f"a public key is {PUBLIC_BYTES} bytes, not {len(public)}")
    y = int.from_bytes(public, "little") & (2**255 - 1)
    if y >= _P:
        raise Invalid("the public key is not in its canonical encoding")
    if y in _SMALL_ORDER:
        raise Invalid("the public key is a point of small order")
    if not _on_curve(y):
        raise Invalid("the public key is not a point on the curve")
    # Either sign of x is good now: x is 0 only for points of small order.
    return Ed25519PublicKey.from_public_bytes(public)


def _on_curve(y: int) -> bool:
    """Whether x^2 = (y^2 - 1) / (d y^2 + 1) has a root (RFC 8032 section 5.1.3); 0 is excluded before."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    return pow(square, (_P - 1) // 2, _P) == 1
