"""A long secret under a passphrase, in pieces: what is longer than memory is encrypted, and checked, as it goes by.

scrypt (RFC 7914) makes the key, AES-256-GCM seals each piece under a nonce that counts and says which is the last
(the STREAM construction), so pieces cannot be swapped, left out or cut off at the end. The header is authenticated too.

    file  = first line, header, piece, ...
    each  = length (4 bytes, big endian), content
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kos_edge.errors import Invalid, Refused
from kos_edge.klp import cbor
from kos_edge.mesh.recovery import COST, MIN_PASSPHRASE, Cost, passphrase_key

PIECE_BYTES = 65_536
MAX_HEADER = 4_096
_TAG = 16
_PREFIX = 7
_LENGTH = struct.Struct(">I")


class WrongPassphrase(Refused):
    """The passphrase does not open it; or, which looks the same, its beginning is damaged."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands unencrypted before the pieces. `about` is the caller's."""

    cost: Cost
    salt: bytes
    prefix: bytes
    about: dict[str, Any]

    def to_wire(self) -> bytes:
        return cbor.encode([1, self.cost.log_n, self.cost.p, self.salt, self.prefix, self.about])

    @classmethod
    def read(cls, data: bytes) -> Header:
        """Raises Invalid."""
        value = cbor.decode(data, limit=MAX_HEADER)
        if type(value) is list and value and value[0] != 1:
            raise Invalid("it was written by a newer kos-edge", hint="install that version or a later one")
        match value:
            case [int(), int(log_n), int(p), bytes(salt), bytes(prefix), dict(about)]:
                if Cost(log_n, p).bearable and len(salt) == 16 and len(prefix) == _PREFIX:
                    return cls(Cost(log_n, p), salt, prefix, about)
        raise Invalid("its header is damaged")


class Sealer:
    """Encrypts: `header()` first, then what `write` and `close` give."""

    def __init__(
        self,
        passphrase: str,
        about: dict[str, Any],
        *,
        cost: Cost = COST,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        if len(passphrase) < MIN_PASSPHRASE:
            raise Invalid(
                f"the passphrase has {len(passphrase)} characters, it needs {MIN_PASSPHRASE} or more"
            )
        self._header = Header(cost, random(16), random(_PREFIX), about)
        self._wire = self._header.to_wire()
        self._cipher = AESGCM(passphrase_key(passphrase, self._header.salt, cost))
        self._number = 0
        self._rest = bytearray()

    def header(self) -> bytes:
        return _LENGTH.pack(len(self._wire)) + self._wire

    def write(self, data: bytes) -> bytes:
        """The pieces that are full now."""
        self._rest += data
        done = []
        while len(self._rest) > PIECE_BYTES:  # the last one is never empty, unless all is
            done.append(self._seal(bytes(self._rest[:PIECE_BYTES]), last=False))
            del self._rest[:PIECE_BYTES]
        return b"".join(done)

    def close(self) -> bytes:
        """The last piece."""
        return self._seal(bytes(self._rest), last=True)

    def _seal(self, plain: bytes, *, last: bool) -> bytes:
        sealed = self._cipher.encrypt(_nonce(self._header.prefix, self._number, last), plain, self._wire)
        self._number += 1
        return _LENGTH.pack(len(sealed)) + sealed


class Opener:
    """Decrypts what `read(size)` gives of a file, from the header on."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._wire = self._part(MAX_HEADER)
        self.header = Header.read(self._wire)

    def pieces(self, passphrase: str) -> Iterator[bytes]:
        """The content. Raises WrongPassphrase, Invalid where it is damaged or ends early: nothing of it counts then."""
        cipher = AESGCM(passphrase_key(passphrase, self.header.salt, self.header.cost))
        number, following = 0, self._part(PIECE_BYTES + _TAG)
        while following:
            sealed, following = following, self._part(PIECE_BYTES + _TAG, may_end=True)
            try:
                nonce = _nonce(self.header.prefix, number, not following)
                yield cipher.decrypt(nonce, sealed, self._wire)
            except InvalidTag:
                if number:
                    raise Invalid("it is damaged, or ends early") from None
                raise WrongPassphrase("the passphrase does not open it, or it is damaged") from None
            number += 1

    def _part(self, most: int, *, may_end: bool = False) -> bytes:
        head = self._read(_LENGTH.size)
        if not head and may_end:
            return b""
        if len(head) < _LENGTH.size:
            raise Invalid("it ends early")
        (length,) = _LENGTH.unpack(head)
        if not 0 < length <= most:
            raise Invalid("it is damaged")
        data = self._read(length)
        if len(data) < length:
            raise Invalid("it ends early")
        return data


def _nonce(prefix: bytes, number: int, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])
