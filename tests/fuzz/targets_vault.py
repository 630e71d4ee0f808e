"""The vault: whatever somebody may have written over its file."""

from __future__ import annotations

import io
from contextlib import suppress

from kos_edge.errors import Refused
from kos_edge.mesh.recovery import Cost
from kos_edge.vault.lock import Kind, Lock
from kos_edge.vault.stream import PIECE_BYTES, Opener, Sealer
from kos_edge.vault.vault import Vault

_LOCK = Lock(Kind.FILE)
_KEY = _LOCK.key(bytes(range(32)))
_VAULT = Vault(_LOCK, _KEY)
_VAULT.put("mqtt.password", b"hunter2", 1_800_000_000)
_VAULT.put("wifi", b"12345678", 0)
_DATA = _VAULT.to_wire()

_WORDS = "a passphrase of no importance"
_CHEAP = Cost(1, 1)
_CONTENT = bytes(PIECE_BYTES) + b"the last piece"


def _stream(content: bytes) -> bytes:
    sealer = Sealer(_WORDS, {"schema": 1}, cost=_CHEAP, random=bytes)
    return sealer.header() + sealer.write(content) + sealer.close()


_STREAMS = {_stream(content): content for content in (_CONTENT, b"one piece", b"")}

SEEDS = (_DATA, Vault(Lock.of_passphrase(), _KEY).to_wire(), *_STREAMS)


def fuzz_open(data: bytes) -> None:
    """What opens is what was written: nothing else is a vault of this key."""
    with suppress(Refused):
        opened = Vault.open(data, _KEY)
        assert data in SEEDS
        assert opened.names().keys() <= _VAULT.names().keys()


def fuzz_stream(data: bytes) -> None:
    """What opens to its end is what was sealed, whole and in order: the form of backups and exported vaults."""
    opener = Opener(io.BytesIO(data).read)
    if opener.header.cost != _CHEAP:  # what it may ask for is bounded, and slow
        return
    with suppress(Refused):
        content = b"".join(opener.pieces(_WORDS))
        assert _STREAMS[data] == content
