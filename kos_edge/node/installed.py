"""The files that this program runs from: sealed when they are installed, compared with the seal when it starts.

A release is one tree, the virtual environment that the interpreter runs in, with its manifest in it. What lies outside
of it (the system's Python and its packages) is the distribution's to look after. These functions block: hand them to a
thread.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from kos_edge.bootstrap.manifest import (
    MAX_FILES,
    MAX_MANIFEST,
    Entry,
    Kind,
    Manifest,
    Report,
    compare,
    link_entry,
    printable,
    read,
)
from kos_edge.bootstrap.manifest import seal as seal_entries
from kos_edge.errors import Invalid, Unavailable
from kos_edge.klp.identity import KeyPair
from kos_edge.node.config import Config

MANIFEST_NAME = "kos-edge.manifest"
OURS = "this machine's administrator"
_CHUNK = 1 << 18


class NotSealed(Unavailable):
    """A tree without a manifest, such as a checkout of the sources."""


def seal(root: Path, version: str, key: KeyPair, *, at: int | None = None) -> bytes:
    """The signed manifest of every file under `root`, to be written to `root/kos-edge.manifest`.

    `at` is seconds since 1970, by default now. Byte-compile first: bytecode that comes later counts as added.
    Raises Invalid for what cannot be sealed (a device, a name that is no text), Unavailable for what cannot be read.
    """
    if not root.is_dir():
        raise Invalid(f"{root} is no directory", hint="seal the root of an installation")
    entries, loose = walk(root)
    if loose:
        raise Invalid(
            f"anybody may write {printable(loose[0])} in {root}", hint=f"chmod -R o-w {root}, then seal it"
        )
    return seal_entries(entries, version, key, at=int(time.time()) if at is None else at)


def examine(root: Path, anchors: Mapping[bytes, str], data: bytes | None = None) -> Report:
    """How the files under `root` differ from their manifest, that in the tree unless `data` is given.

    Raises NotSealed where there is none, Unavailable where a file cannot be read, Refused where no anchor
    signed it, Invalid for damage.
    """
    manifest = read(read_manifest(root) if data is None else data, anchors)
    return compare(manifest, *walk(root, manifest))


def read_manifest(root: Path) -> bytes:
    """The bytes of the manifest in a tree. Raises NotSealed, Unavailable, Invalid."""
    path = root / MANIFEST_NAME
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST + 1)
    except FileNotFoundError:
        raise NotSealed(
            f"{root} has no manifest, so nobody can tell whether its files are as they were installed",
            hint="sudo kos-edge install makes one, and so does the package",
        ) from None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from None
    if len(data) > MAX_MANIFEST:
        raise Invalid(f"{path} has more than {MAX_MANIFEST:,} bytes")
    return data


def walk(root: Path, sealed: Manifest | None = None) -> tuple[list[Entry], list[str]]:
    """Every file and link under `root` but its manifest; and the paths that anybody may write.

    With `sealed`, what has another size there, or is not in it at all, is not read to the end: it differs as it is.
    """
    entries: list[Entry] = []
    loose: list[str] = []
    for path, found in _found(root):
        name = path[len(os.fspath(root)) + 1 :] or "."
        mode = found.st_mode
        if not stat.S_ISLNK(mode) and mode & stat.S_IWOTH:
            loose.append(name)
        if stat.S_ISDIR(mode) or name == MANIFEST_NAME:
            continue
        if len(entries) > MAX_FILES:
            raise Invalid(f"{root} has more than {MAX_FILES:,} files")
        known = None if sealed is None else sealed.files.get(name)
        skip = sealed is not None and (known is None or known.size != found.st_size)
        entries.append(_entry(path, name, found, skip=skip))
    return entries, loose


def anchors(config: Config, own: bytes | None) -> dict[bytes, str]:
    """Whose manifests count, and what they are called: the keys in the configuration, and this node's `own`."""
    found = {bytes.fromhex(text): f"the key {text[:8]}" for text in config.security.trust_anchors}
    return found if own is None else {own: OURS} | found


def installation() -> Path:
    """The tree that this process runs from."""
    return Path(sys.prefix).resolve()  # `current` is a link, which an upgrade moves


def _found(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    folders = [os.fspath(root)]
    try:
        yield folders[0] + "/", os.stat(root)
        while folders:
            with os.scandir(folders.pop()) as listing:
                for each in listing:
                    found = each.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(each.path)
                    yield each.path, found
    except OSError as error:
        raise Unavailable(f"cannot read {error.filename}: {error.strerror}") from None


def _entry(path: str, name: str, found: os.stat_result, *, skip: bool) -> Entry:
    if stat.S_ISLNK(found.st_mode):
        return link_entry(name, _target(path))
    if not stat.S_ISREG(found.st_mode):
        return Entry(name, Kind.OTHER, 0, bytes(32))
    kind = Kind.EXECUTABLE if found.st_mode & 0o111 else Kind.FILE
    digest = bytes(32) if skip else _digest(path)
    return Entry(name, kind, found.st_size, digest)


def _target(path: str) -> bytes:
    try:
        return os.fsencode(os.readlink(path))
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from None


def _digest(path: str) -> bytes:
    total = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                total.update(chunk)
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from None
    return total.digest()
