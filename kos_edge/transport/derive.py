"""OSCORE's keys and common IV from what a handshake exported, by aiocoap's OSCORE core
(RFC 8613 section 3.2).

Once a session, so its cost does not matter; each message is our own work, see `oscore`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from aiocoap import oscore
from aiocoap.oscore import SecurityContextUtils

from kos_edge.bootstrap.schedule import OscoreKeys
from kos_edge.errors import Misuse

AES_CCM_16_64_128: Final = 10
CHACHA20_POLY1305: Final = 24
SHA_256: Final = -16

_NAMES: Final = {AES_CCM_16_64_128: "AES-CCM-16-64-128", CHACHA20_POLY1305: "ChaCha20/Poly1305"}


@dataclass(frozen=True, slots=True)
class Derived:
    """What both directions of one context need."""

    sender_key: bytes = field(repr=False)
    recipient_key: bytes = field(repr=False)
    common_iv: bytes = field(repr=False)


class _Derivation(SecurityContextUtils):  # type: ignore[misc]  # the library ships no types
    id_context = None


def derive(keys: OscoreKeys) -> Derived:
    """Sender key, recipient key and common IV.

    `Misuse` when the algorithms are none of ours, the ids are too long for the nonce, or both ids are equal.
    """
    if keys.aead not in _NAMES or keys.hash != SHA_256:
        raise Misuse(f"no OSCORE with AEAD {keys.aead} and hash {keys.hash} here")
    work = _Derivation()
    work.alg_aead = oscore.algorithms[_NAMES[keys.aead]]
    work.hashfun = oscore.hashfunctions["sha256"]
    longest = work.alg_aead.iv_bytes - 6
    if keys.sender_id == keys.recipient_id or max(len(keys.sender_id), len(keys.recipient_id)) > longest:
        raise Misuse(f"OSCORE ids must differ and have at most {longest} bytes")
    work.sender_id, work.recipient_id = keys.sender_id, keys.recipient_id
    work.derive_keys(keys.master_salt, keys.master_secret)
    return Derived(work.sender_key, work.recipient_key, work.common_iv)
