"""The file with a node's key: written once, checked at every start, replaced only by `rekey`; and a copy of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path

from kos_edge.errors import Invalid, Refused, Unavailable
from kos_edge.klp.identity import KeyPair
from kos_edge.node.durable_file import Found, write_durably
from kos_edge.node.statedir import NotInitialised, copy_of, owner_hint

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
    """Keep this key at `path`, in the place of any other, in one step, and of its copy. Raises Unavailable."""
    write_durably(path, key_text(key), mode=0o600)
    if copy_of(path).exists():  # of the key before: falling back to it would be somebody else
        keep_copy(path, Found(key))


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


def find_key(path: Path) -> Found[KeyPair]:
    """The key at `path`, or its copy with what is wrong with the first. Raises what `read_key` does for neither.

    A damaged key is never replaced by a new one: whoever had it would be somebody else.
    """
    try:
        return Found(read_key(path))
    except (Invalid, NotInitialised) as error:
        copy = copy_of(path)
        if not copy.exists():
            raise
        try:
            return Found(
                read_key(copy), f"{error.message}: the copy {copy.name} is used. Put it in its place"
            )
        except Invalid:
            raise error from None


def keep_copy(path: Path, found: Found[KeyPair]) -> None:
    """Keep a copy of a key beside it. Never over the copy that is the only one left."""
    copy = copy_of(path)
    if found.trouble is not None:
        return
    with contextlib.suppress(Invalid, NotInitialised):
        if read_key(copy) == found.value:
            return
    with contextlib.suppress(Unavailable):  # a full disk: at the next start
        write_durably(copy, key_text(found.value), mode=0o600)


def key_text(key: KeyPair) -> bytes:
    """What stands in the file."""
    return b"kos-edge-key 1 %s %s\n" % (key.seed.hex().encode(), _check(key.seed))


def _check(seed: bytes) -> bytes:
    return hashlib.sha256(b"kos-edge-key" + seed).hexdigest()[:16].encode()
