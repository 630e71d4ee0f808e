"""The key schedule of EDHOC with signatures (RFC 9528 section 4) and the structures it binds (section 5).

`Transcript` is what both sides compute from the same bytes; it holds no role and no state machine, so that a
trace can be followed value by value. Names are the RFC's.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from kos_edge.bootstrap.suite import HASH_LENGTH, Suite
from kos_edge.errors import Invalid
from kos_edge.klp import cbor

OSCORE_MASTER_SECRET: Final = 0  # exporter labels, RFC 9528 section 10.1
OSCORE_MASTER_SALT: Final = 1
OSCORE_SALT_LENGTH: Final = 8  # RFC 9528 appendix A.1: the default

_EXPAND_LIMIT: Final = 255 * HASH_LENGTH  # RFC 5869 section 2.3


class Label(IntEnum):
    """The info labels of RFC 9528 sections 4.1.2 and 4.2, table 4 (those of static DH are not used here)."""

    KEYSTREAM_2 = 0
    MAC_2 = 2
    K_3 = 3
    IV_3 = 4
    MAC_3 = 6
    PRK_OUT = 7
    K_4 = 8
    IV_4 = 9
    PRK_EXPORTER = 10
    KEY_UPDATE = 11


@dataclass(frozen=True, slots=True)
class OscoreKeys:
    """What an OSCORE security context is made from (RFC 9528 appendix A.1; RFC 8613 section 3.2).

    Ids are as this side sees them; `aead` and `hash` are COSE algorithm identifiers, HKDF is over that hash.
    """

    master_secret: bytes = field(repr=False)
    master_salt: bytes = field(repr=False)
    sender_id: bytes
    recipient_id: bytes
    aead: int
    hash: int


def digest(*items: bytes) -> bytes:
    """SHA-256 over the concatenation of `items`, each an encoded CBOR item or sequence."""
    return hashlib.sha256(b"".join(items)).digest()


def extract(salt: bytes, key_material: bytes) -> bytes:
    """HKDF-Extract with SHA-256 (RFC 5869 section 2.2): EDHOC_Extract of RFC 9528 section 4.1.1."""
    return hmac.digest(salt, key_material, "sha256")


def derive(prk: bytes, label: int, context: bytes, length: int) -> bytes:
    """EDHOC_KDF (RFC 9528 section 4.1.2): `expand` over info = (label, context, length)."""
    return expand(prk, cbor.encode_sequence(int(label), context, length), length)


def expand(prk: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand with SHA-256 (RFC 5869 section 2.3). Invalid when `length` is more than it can give: 8,160 bytes."""
    if length > _EXPAND_LIMIT:
        raise Invalid(f"{length} bytes are more than HKDF-Expand gives from one key")
    blocks, block = b"", b""
    for counter in range(1, -(-length // HASH_LENGTH) + 1):
        block = hmac.digest(prk, block + info + bytes([counter]), "sha256")
        blocks += block
    return blocks[:length]


@dataclass(slots=True)
class Transcript:
    """The hashes and keys of one handshake, filled in as messages pass; secrets stay out of `repr`."""

    suite: Suite
    th_2: bytes = b""
    th_3: bytes = b""
    th_4: bytes = b""
    prk_2e: bytes = field(default=b"", repr=False)
    prk_out: bytes = field(default=b"", repr=False)
    prk_exporter: bytes = field(default=b"", repr=False)

    def agree(self, message_1: bytes, g_y: bytes, g_xy: bytes) -> None:
        """TH_2 = H(G_Y, H(message_1)) and PRK_2e. With signatures PRK_3e2m and PRK_4e3m are PRK_2e."""
        self.th_2 = digest(cbor.encode_sequence(g_y, digest(message_1)))
        self.prk_2e = extract(self.th_2, g_xy)

    def mask_2(self, text: bytes) -> bytes:
        """PLAINTEXT_2 to CIPHERTEXT_2 and back: XOR with KEYSTREAM_2 (section 5.3.2), unauthenticated."""
        keystream = derive(self.prk_2e, Label.KEYSTREAM_2, self.th_2, len(text))
        return (int.from_bytes(text) ^ int.from_bytes(keystream)).to_bytes(len(text))

    def signed_2(self, c_r: bytes, id_cred: bytes, cred: bytes, ead: bytes) -> bytes:
        """What the responder signs (section 5.3.2); `c_r` encoded, `cred` and `ead` as they stand."""
        context = c_r + id_cred + cbor.encode(self.th_2) + cred + ead
        mac = derive(self.prk_2e, Label.MAC_2, context, HASH_LENGTH)
        return _to_be_signed(id_cred, self.th_2, cred, ead, mac)

    def close_2(self, plaintext: bytes, cred: bytes) -> None:
        """TH_3 = H(TH_2, PLAINTEXT_2, CRED_R)."""
        self.th_3 = digest(cbor.encode(self.th_2), plaintext, cred)

    def signed_3(self, id_cred: bytes, cred: bytes, ead: bytes) -> bytes:
        """What the initiator signs (section 5.4.2)."""
        context = id_cred + cbor.encode(self.th_3) + cred + ead
        mac = derive(self.prk_2e, Label.MAC_3, context, HASH_LENGTH)
        return _to_be_signed(id_cred, self.th_3, cred, ead, mac)

    def seal_3(self, plaintext: bytes) -> bytes:
        """CIPHERTEXT_3."""
        return self.suite.seal(*self._keys(Label.K_3, Label.IV_3, self.th_3), plaintext, _aad(self.th_3))

    def open_3(self, ciphertext: bytes) -> bytes:
        """PLAINTEXT_3; Invalid when it does not authenticate."""
        return self.suite.open(*self._keys(Label.K_3, Label.IV_3, self.th_3), ciphertext, _aad(self.th_3))

    def close_3(self, plaintext: bytes, cred: bytes) -> None:
        """TH_4 = H(TH_3, PLAINTEXT_3, CRED_I); from it PRK_out and PRK_exporter (section 4.1.3)."""
        self.th_4 = digest(cbor.encode(self.th_3), plaintext, cred)
        self._set_out(derive(self.prk_2e, Label.PRK_OUT, self.th_4, HASH_LENGTH))

    def seal_4(self, plaintext: bytes) -> bytes:
        """CIPHERTEXT_4."""
        return self.suite.seal(*self._keys(Label.K_4, Label.IV_4, self.th_4), plaintext, _aad(self.th_4))

    def open_4(self, ciphertext: bytes) -> bytes:
        """PLAINTEXT_4; Invalid when it does not authenticate."""
        return self.suite.open(*self._keys(Label.K_4, Label.IV_4, self.th_4), ciphertext, _aad(self.th_4))

    def export(self, label: int, context: bytes, length: int) -> bytes:
        """EDHOC_Exporter (section 4.2.1): `length` bytes for one purpose."""
        return derive(self.prk_exporter, label, context, length)

    def oscore(self, *, sender_id: bytes, recipient_id: bytes) -> OscoreKeys:
        """The OSCORE master secret and salt (appendix A.1)."""
        return OscoreKeys(
            master_secret=self.export(OSCORE_MASTER_SECRET, b"", self.suite.key_length),
            master_salt=self.export(OSCORE_MASTER_SALT, b"", OSCORE_SALT_LENGTH),
            sender_id=sender_id,
            recipient_id=recipient_id,
            aead=self.suite.aead,
            hash=self.suite.hash,
        )

    def update(self, context: bytes) -> None:
        """EDHOC_KeyUpdate (appendix H): new PRK_out and PRK_exporter from the old and a shared `context`."""
        self._set_out(derive(self.prk_out, Label.KEY_UPDATE, context, HASH_LENGTH))

    def _set_out(self, prk_out: bytes) -> None:
        self.prk_out = prk_out
        self.prk_exporter = derive(prk_out, Label.PRK_EXPORTER, b"", HASH_LENGTH)

    def _keys(self, key: Label, nonce: Label, th: bytes) -> tuple[bytes, bytes]:
        suite = self.suite
        return (
            derive(self.prk_2e, key, th, suite.key_length),
            derive(self.prk_2e, nonce, th, suite.nonce_length),
        )


def _to_be_signed(id_cred: bytes, th: bytes, cred: bytes, ead: bytes, mac: bytes) -> bytes:
    return cbor.encode(["Signature1", id_cred, cbor.encode(th) + cred + ead, mac])


def _aad(th: bytes) -> bytes:
    return cbor.encode(["Encrypt0", b"", th])
