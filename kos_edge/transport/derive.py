"""OSCORE's keys and common IV from what a handshake exported (RFC 8613 section 3.2).

Once a session, so its cost does not matter; each message is `oscore`'s work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from kos_edge.bootstrap.schedule import OscoreKeys, expand, extract
from kos_edge.errors import Misuse
from kos_edge.klp import cbor

AES_CCM_16_64_128: Final = 10
CHACHA20_POLY1305: Final = 24
SHA_256: Final = -16

_SIZES: Final = {AES_CCM_16_64_128: (16, 13), CHACHA20_POLY1305: (32, 12)}
"""Bytes of a key and of a nonce (RFC 9053 sections 4.2 and 4.3)."""


@dataclass(frozen=True, slots=True)
class Derived:
    """What both directions of one context need."""

    sender_key: bytes = field(repr=False)
    recipient_key: bytes = field(repr=False)
    common_iv: bytes = field(repr=False)


def derive(keys: OscoreKeys) -> Derived:
    """Sender key, recipient key and common IV, without an id context.

    `Misuse` when the algorithms are none of ours, the ids are too long for the nonce, or both ids are equal.
    """
    if keys.aead not in _SIZES or keys.hash != SHA_256:
        raise Misuse(f"no OSCORE with AEAD {keys.aead} and hash {keys.hash} here")
    key_bytes, nonce_bytes = _SIZES[keys.aead]
    longest = nonce_bytes - 6
    if keys.sender_id == keys.recipient_id or max(len(keys.sender_id), len(keys.recipient_id)) > longest:
        raise Misuse(f"OSCORE ids must differ and have at most {longest} bytes")
    prk = extract(keys.master_salt, keys.master_secret)

    def output(whose: bytes, kind: str, length: int) -> bytes:
        return expand(prk, cbor.encode([whose, None, keys.aead, kind, length]), length)

    return Derived(
        sender_key=output(keys.sender_id, "Key", key_bytes),
        recipient_key=output(keys.recipient_id, "Key", key_bytes),
        common_iv=output(b"", "IV", nonce_bytes),
    )
