"""What opens a vault: a key from systemd's credentials or a file, or one made of a passphrase by scrypt (RFC 7914).

The key only wraps the vault's own data key, so that another lock needs no secret to be encrypted anew.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from kos_edge.errors import Invalid
from kos_edge.mesh.recovery import COST, MIN_PASSPHRASE, Cost, passphrase_key

KEY_BYTES = 32
SALT_BYTES = 16
_NONE = Cost(0, 0)


class Kind(IntEnum):
    """Where the key comes from, as the vault's file says it."""

    FILE = 0
    CREDENTIAL = 1
    PASSPHRASE = 2


@dataclass(frozen=True, slots=True)
class Lock:
    """How the key of a vault is had. `salt` and `cost` are of a passphrase; with the others they are empty and 0."""

    kind: Kind
    cost: Cost = _NONE
    salt: bytes = b""

    @classmethod
    def of_passphrase(cls, random: Callable[[int], bytes] = os.urandom) -> Lock:
        """A new lock for a passphrase."""
        return cls(Kind.PASSPHRASE, COST, random(SALT_BYTES))

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
            passphrase = secret.decode()
        except UnicodeDecodeError:
            raise Invalid("the passphrase is no text in UTF-8") from None
        if len(passphrase) < MIN_PASSPHRASE:
            raise Invalid(
                f"the passphrase has {len(passphrase)} characters, it needs at least {MIN_PASSPHRASE}"
            )
        return passphrase_key(passphrase, self.salt, self.cost)

    def to_wire(self) -> list[object]:
        return [int(self.kind), self.cost.log_n, self.cost.p, self.salt]

    @classmethod
    def from_wire(cls, value: object) -> Lock:
        """Raises Invalid, also for a cost that ours never has: a file must not keep a machine busy for an hour."""
        match value:
            case [int(kind), int(log_n), int(p), bytes(salt)] if kind in (Kind.FILE, Kind.CREDENTIAL):
                if (log_n, p, salt) == (0, 0, b""):
                    return cls(Kind(kind))
            case [Kind.PASSPHRASE, int(log_n), int(p), bytes(salt)] if len(salt) == SALT_BYTES:
                if Cost(log_n, p).bearable:
                    return cls(Kind.PASSPHRASE, Cost(log_n, p), salt)
        raise Invalid("the lock of this vault is not known here")
