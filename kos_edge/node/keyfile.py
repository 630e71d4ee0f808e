"""The file with a node's key: written once, checked at every start, never replaced."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from kos_edge.errors import Invalid, Refused, Unavailable
from kos_edge.klp.identity import KeyPair
from kos_edge.node.durable_file import write_durably
from kos_edge.node.statedir import NotInitialised, owner_hint

_FORM = re.compile(rb"kos-edge-key 1 ([0-9a-f]{64}) ([0-9a-f]{16})\n")
_LENGTH = len(b"kos-edge-key 1 ") + 64 + 1 + 16 + 1


def write_key(path: Path, key: KeyPair) -> None:
    """Keep a new node's key at `path`. Raises Refused where there is one already, Unavailable."""
    if path.exists():
        raise Refused(
            f"there is a node in {path.parent} already", hint="name another directory with --state DIR"
        )
    replace_key(path, key)


def replace_key(path: Path, key: KeyPair) -> None:
    """Keep this key at `path`, in the place of any other, in one step. Raises Unavailable."""
    write_durably(path, b"kos-edge-key 1 %s %s\n" % (key.seed.hex().encode(), _check(key.seed)), mode=0o600)


def read_key(path: Path) -> KeyPair:
    """The key at `path`. Raises NotInitialised, Invalid if it is damaged, Refused if others may read it."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(4 * _LENGTH)
    except FileNotFoundError:
        raise NotInitialised(f"there is no node in {path.parent}", hint="kos-edge init --role edge") from None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}", hint=owner_hint(path)) from None
    if mode & 0o077:
        raise Refused(f"others may read the key {path} (mode {mode & 0o777:04o})", hint=f"chmod 600 {path}")
    found = _FORM.fullmatch(data)
    seed = bytes.fromhex(found[1].decode()) if found else b""
    if found is None or found[2] != _check(seed):
        state = f"half written ({len(data)} of {_LENGTH} bytes)" if len(data) < _LENGTH else "damaged"
        raise Invalid(
            f"the key {path} is {state}",
            hint=f"put a copy of it back, or move {path.parent} away and start anew: kos-edge init",
        )
    return KeyPair.from_seed(seed)


def _check(seed: bytes) -> bytes:
    return hashlib.sha256(b"kos-edge-key" + seed).hexdigest()[:16].encode()
