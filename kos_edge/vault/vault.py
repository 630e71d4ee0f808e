"""The vault's machine: named secrets, each sealed by AES-256-GCM (RFC 5116) under a data key that a lock wraps.

    vault = [1, id, lock, wrapped, changes, {+ name => [nonce, sealed, at]}, [nonce, tag]]

The data key is wrapped with the version, the id and the lock as authenticated data; a secret is sealed with the id, its
name and its time; and the last item seals the whole: the count of changes with the names and nonces of all. So nothing
in it can be altered, exchanged, renamed, taken out or put in without the key. An older copy of the whole file is a good
vault: keep `changes` elsewhere where that matters.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kos_edge.errors import Invalid, Refused
from kos_edge.klp import cbor
from kos_edge.vault.lock import KEY_BYTES, Lock

MAX_SECRET = 65_536
"""Bytes: a certificate chain, or a small key file."""
MAX_SECRETS = 1_000
MAX_VAULT = 1 << 19
"""Bytes of the file: it travels in one request of the control socket, in base64."""
_VERSION = 1
_ID_BYTES = 16
_NONCE_BYTES = 12
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def check_name(name: str) -> str:
    """The name of a secret. Raises Invalid."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"{name!r} is no name of a secret",
            hint="up to 64 of a-z, 0-9, dot, dash and underscore, such as mqtt.password",
        )
    return name


@dataclass(frozen=True, slots=True)
class _Sealed:
    nonce: bytes
    text: bytes
    at: int


class Vault:
    """An open vault. Times are seconds since 1970, 0 where no clock was set.

    Opening checks every secret (`open`), so that what is damaged is known at the start and not when it is needed.
    """

    def __init__(self, lock: Lock, key: bytes, *, random: Callable[[int], bytes] = os.urandom) -> None:
        """A new, empty vault under this lock and the key that it opens with."""
        self._random = random
        self._id = random(_ID_BYTES)
        self._data_key = random(KEY_BYTES)
        self._entries: dict[str, _Sealed] = {}
        self.changes = 0
        self._lock_with(lock, key)

    @staticmethod
    def lock_of(data: bytes) -> Lock:
        """How the key of a vault's file is had. Raises Invalid where that is no vault."""
        return Lock.from_wire(_items(data)[2])

    @classmethod
    def open(cls, data: bytes, key: bytes, *, random: Callable[[int], bytes] = os.urandom) -> Vault:
        """The vault in a file, every secret checked. Raises Refused for another key, Invalid for a damaged vault."""
        _, id, lock, wrapped, changes, entries, seal = _items(data)
        vault = cls.__new__(cls)
        vault._random, vault._id, vault.changes = random, id, changes
        vault.lock, vault._wrapped = Lock.from_wire(lock), wrapped
        try:
            vault._data_key = AESGCM(key).decrypt(*_nonce_and_text(wrapped), vault._about_lock())
        except InvalidTag:
            raise Refused("this key does not open the vault") from None
        vault._entries = {name: _sealed(name, entry) for name, entry in entries.items()}
        try:
            AESGCM(vault._data_key).decrypt(*_nonce_and_text(seal), vault._about_all())
        except InvalidTag:
            raise Invalid(
                "the vault is not as it was written: secrets were taken out, put in or exchanged"
            ) from None
        for name in vault._entries:
            vault.get(name)
        return vault

    def names(self) -> dict[str, int]:
        """The secrets, sorted, with the time of their last change."""
        return {name: self._entries[name].at for name in sorted(self._entries)}

    def get(self, name: str) -> bytes:
        """One secret. Raises Invalid where there is none of this name, or it is damaged."""
        sealed = self._entries.get(name)
        if sealed is None:
            raise Invalid(f"there is no secret {name!r} in the vault", hint="kos-edge vault list")
        try:
            about = self._about(name, sealed.at)
            return AESGCM(self._data_key).decrypt(sealed.nonce, sealed.text, about)
        except InvalidTag:
            raise Invalid(f"the secret {name!r} is damaged", hint="kos-edge vault put it again") from None

    def put(self, name: str, secret: bytes, at: int) -> None:
        """Set a secret, in the place of one of this name. Raises Invalid for a bad name, size or number."""
        check_name(name)
        if not 0 < len(secret) <= MAX_SECRET:
            raise Invalid(f"a secret has 1 to {MAX_SECRET:,} bytes, this one {len(secret):,}")
        if name not in self._entries and len(self._entries) >= MAX_SECRETS:
            raise Invalid(f"the vault holds {MAX_SECRETS:,} secrets, no more fit")
        nonce = self._random(_NONCE_BYTES)
        text = AESGCM(self._data_key).encrypt(nonce, secret, self._about(name, at))
        self._entries[name] = _Sealed(nonce, text, at)
        self.changes += 1

    def remove(self, name: str) -> None:
        """Forget a secret. Raises Invalid where there is none of this name."""
        if self._entries.pop(name, None) is None:
            raise Invalid(f"there is no secret {name!r} in the vault", hint="kos-edge vault list")
        self.changes += 1

    def rotate(self, lock: Lock, key: bytes) -> None:
        """A new data key for all secrets, under this lock and key: what the old ones opened, they open no more."""
        secrets = {name: (self.get(name), at) for name, at in self.names().items()}
        self._data_key, self._entries = self._random(KEY_BYTES), {}
        self._lock_with(lock, key)
        for name, (secret, at) in secrets.items():
            self.put(name, secret, at)
        self.changes += 1

    def to_wire(self) -> bytes:
        """The file."""
        nonce = self._random(_NONCE_BYTES)
        entries = {name: [each.nonce, each.text, each.at] for name, each in self._entries.items()}
        tag = AESGCM(self._data_key).encrypt(nonce, b"", self._about_all())
        head = [_VERSION, self._id, self.lock.to_wire(), self._wrapped, self.changes]
        data = cbor.encode([*head, entries, [nonce, tag]])
        if len(data) > MAX_VAULT:
            raise Invalid(f"the vault would have {len(data):,} bytes, at most {MAX_VAULT:,} are allowed")
        return data

    def _lock_with(self, lock: Lock, key: bytes) -> None:
        self.lock = lock
        nonce = self._random(_NONCE_BYTES)
        self._wrapped = [nonce, AESGCM(key).encrypt(nonce, self._data_key, self._about_lock())]

    def _about_lock(self) -> bytes:
        return cbor.encode(["lock", _VERSION, self._id, self.lock.to_wire()])

    def _about(self, name: str, at: int) -> bytes:
        return cbor.encode(["secret", self._id, name, at])

    def _about_all(self) -> bytes:
        places = {name: [each.nonce, each.at] for name, each in self._entries.items()}
        return cbor.encode(["vault", self._id, self.changes, places])


def _items(data: bytes) -> tuple[int, bytes, object, list[bytes], int, dict[str, object], list[bytes]]:
    """The parts of the file, each of its type; the entries are looked at later."""
    value = cbor.decode(data, limit=MAX_VAULT)
    if type(value) is list and value and type(value[0]) is int and value[0] != _VERSION:
        raise Invalid("the vault is of a version that is not known here", hint="update kos-edge")
    match value:
        case [int(version), bytes(id), list(lock), list(wrapped), int(changes), dict(entries), list(seal)]:
            names = all(type(name) is str and _NAME.fullmatch(name) for name in entries)
            if len(id) == _ID_BYTES and changes >= 0 and names and len(entries) <= MAX_SECRETS:
                return version, id, lock, wrapped, changes, entries, seal
    raise Invalid("this is no vault")


def _nonce_and_text(value: list[bytes]) -> tuple[bytes, bytes]:
    match value:
        case [bytes(nonce), bytes(text)] if len(nonce) == _NONCE_BYTES:
            return nonce, text
    raise Invalid("this is no vault")


def _sealed(name: str, value: object) -> _Sealed:
    match value:
        case [bytes(nonce), bytes(text), int(at)] if len(nonce) == _NONCE_BYTES and at >= 0:
            return _Sealed(nonce, text, at)
    raise Invalid(f"the secret {name!r} is damaged")
