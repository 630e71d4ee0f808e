"""Whether this machine computes the keys of a session as another implementation does: aiocoap's, with other libraries.

A daemon that does not would find nobody it can talk to, and could not say why: what the other side sends is unreadable.
"""

from __future__ import annotations

from collections.abc import Iterator

from aiocoap import oscore

from kos_edge.bootstrap.schedule import OscoreKeys
from kos_edge.doctor.finding import Finding, bad, good
from kos_edge.doctor.patient import Patient
from kos_edge.transport.derive import AES_CCM_16_64_128, CHACHA20_POLY1305, SHA_256, derive

_NAMES = {AES_CCM_16_64_128: "AES-CCM-16-64-128", CHACHA20_POLY1305: "ChaCha20/Poly1305"}


class _Judge(oscore.SecurityContextUtils):  # type: ignore[misc]  # the library ships no types
    id_context = None

    def __init__(self, keys: OscoreKeys) -> None:
        self.alg_aead = oscore.algorithms[_NAMES[keys.aead]]
        self.hashfun = oscore.hashfunctions["sha256"]
        self.sender_id, self.recipient_id = keys.sender_id, keys.recipient_id
        self.derive_keys(keys.master_salt, keys.master_secret)


def keys(patient: Patient) -> Iterator[Finding]:
    """Both algorithms, from a secret that protects nothing."""
    secret, salt = bytes(range(16)), bytes(range(8))
    for aead, name in _NAMES.items():
        asked = OscoreKeys(secret, salt, b"\x01", b"\x02", aead, SHA_256)
        ours, judge = derive(asked), _Judge(asked)
        theirs = (judge.sender_key, judge.recipient_key, judge.common_iv)
        if (ours.sender_key, ours.recipient_key, ours.common_iv) != theirs:
            yield bad(
                "arithmetic",
                f"the keys that this machine makes for {name} are not those that aiocoap makes on it",
                "install kos-edge again; if that is no help, its memory or its build of Python is at fault",
            )
            return
    yield good("arithmetic", "keys of sessions are those that another implementation makes here")
