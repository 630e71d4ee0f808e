"""The vault: whatever somebody may have written over its file."""

from __future__ import annotations

from contextlib import suppress

from kos_edge.errors import Refused
from kos_edge.vault.lock import Kind, Lock
from kos_edge.vault.vault import Vault

_LOCK = Lock(Kind.FILE)
_KEY = _LOCK.key(bytes(range(32)))
_VAULT = Vault(_LOCK, _KEY)
_VAULT.put("mqtt.password", b"hunter2", 1_800_000_000)
_VAULT.put("wifi", b"12345678", 0)
_DATA = _VAULT.to_wire()

SEEDS = (_DATA, Vault(Lock.of_passphrase(), _KEY).to_wire())


def fuzz_open(data: bytes) -> None:
    """What opens is what was written: nothing else is a vault of this key."""
    with suppress(Refused):
        opened = Vault.open(data, _KEY)
        assert data in SEEDS
        assert opened.names().keys() <= _VAULT.names().keys()
