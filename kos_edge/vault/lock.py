"""What opens a vault: a key from systemd's credentials or a file, or one made of a passphrase by scrypt (RFC 7914).

The key only wraps the vault's own data key, so that another lock needs no secret to be encrypted anew.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from kos_edge.errors import Invalid

KEY_BYTES = 32
SALT_BYTES = 16
MIN_PASSPHRASE = 8
"""Characters, as of a recovery file: a copied vault can be tried at leisure."""

LOG_N, P = 15, 3
"""The cost of one guess: n = 2^15, r = 8, p = 3; 32 MiB and 0.3 s on a 2-core x86."""
_MOST_LOG_N, _MOST_P = 16, 16


class Kind(IntEnum):
    """Where the key comes from, as the vault's file says it."""

    FILE = 0
    CREDENTIAL = 1
    PASSPHRASE = 2


@dataclass(frozen=True, slots=True)
class Lock:
    """How the key of a vault is had. `salt` and the cost are of a passphrase; with the others they are empty and 0."""

    kind: Kind
    log_n: int = 0
    p: int = 0
    salt: bytes = b""

    @classmethod
    def of_passphrase(cls, random: Callable[[int], bytes] = os.urandom) -> Lock:
        """A new lock for a passphrase."""
        return cls(Kind.PASSPHRASE, LOG_N, P, random(SALT_BYTES))

    def key(self, secret: bytes) -> bytes:
        """The 32 bytes that open the vault, from what is in the file or the credential, or from the passphrase (UTF-8).

        A file or credential of any size from 32 bytes on counts with all of it. Raises Invalid for less, for a
        passphrase of fewer than MIN_PASSPHRASE characters, and for one that is no text.
        """
        if self.kind is not Kind.PASSPHRASE:
            if len(secret) < KEY_BYTES:
                raise Invalid(f"the vault's key has {len(secret)} bytes, it needs at least {KEY_BYTES}")
            return hashlib.sha256(b"kos-edge vault key\0" + secret).digest()
        try:
            passphrase = unicodedata.normalize("NFKC", secret.decode())
        except UnicodeDecodeError:
            raise Invalid("the passphrase is no text in UTF-8") from None
        if len(passphrase) < MIN_PASSPHRASE:
            raise Invalid(
                f"the passphrase has {len(passphrase)} characters, it needs at least {MIN_PASSPHRASE}"
            )
        scrypt = Scrypt(salt=self.salt, length=KEY_BYTES, n=2**self.log_n, r=8, p=self.p)
        return scrypt.derive(passphrase.encode())

    def to_wire(self) -> list[object]:
        return [int(self.kind), self.log_n, self.p, self.salt]

    @classmethod
    def from_wire(cls, value: object) -> Lock:
        """Raises Invalid, also for a cost that ours never has: a file must not keep a machine busy for an hour."""
        match value:
            case [int(kind), int(log_n), int(p), bytes(salt)] if kind in (Kind.FILE, Kind.CREDENTIAL):
                if (log_n, p, salt) == (0, 0, b""):
                    return cls(Kind(kind))
            case [Kind.PASSPHRASE, int(log_n), int(p), bytes(salt)] if len(salt) == SALT_BYTES:
                if 1 <= log_n <= _MOST_LOG_N and 1 <= p <= _MOST_P:
                    return cls(Kind.PASSPHRASE, log_n, p, salt)
        raise Invalid("the lock of this vault is not known here")
