"""The manifest of an installation: a signed list of its files with their hashes. `node.installed` walks over the files.

    manifest = COSE_Sign1 of {1: version, 2: at, 3: [+ [path, kind, size, SHA-256]]}

docs/protocol/bootstrap.cddl has its form, docs/bootstrap.md what it is for.

Paths are relative, with `/`, sorted by their bytes. A symbolic link is never followed: where it leads to is its
content. The signature is checked before the list is read, so that only who may sign can make it long.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from kos_edge.errors import Invalid, Refused
from kos_edge.klp import cbor, cose
from kos_edge.klp.cose import Typ
from kos_edge.klp.identity import KID_BYTES, KeyPair, fingerprint_words, kid_of

MAX_FILES = 20_000
"""Of one installation: ours has some 3,000 with everything that it needs."""
MAX_MANIFEST = 8 << 20
"""Bytes, which 20,000 long paths fit."""
MAX_PATH = 1_024
MAX_VERSION = 64
_MAX_SIZE = 1 << 40
_CONTEXT = b"kos-edge installed files"
_KID = 4  # the COSE header that says whose key it is; it is not signed, and only picks the one to try
_VERSION, _AT, _FILES = 1, 2, 3


class Kind(IntEnum):
    """What stands at a path; the number is the wire form."""

    FILE = 0
    EXECUTABLE = 1
    """A file that somebody may execute."""
    LINK = 2
    OTHER = 3
    """Neither file nor link (a device, a socket): never sealed, and so never right where it is found."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. `size` and `digest` (SHA-256) are of its content, of a link's: where it points to, as bytes."""

    path: str
    kind: Kind
    size: int
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was installed: `version`, when it was sealed (seconds since 1970), and every file by its path."""

    version: str
    at: int
    files: Mapping[str, Entry]
    signer: str = ""
    """Whose key signed it, as the anchors name it."""


@dataclass(frozen=True, slots=True)
class Report:
    """How the files that are there differ from the manifest; paths, sorted. `loose`: anybody may write them."""

    manifest: Manifest
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    loose: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether what is there is what was sealed, and only those who installed it can change it."""
        return not (self.missing or self.changed or self.added or self.loose)

    def words(self, most: int = 3) -> str:
        """The differences for a person, of each sort at most so many paths."""
        parts = []
        for what in ("missing", "changed", "added", "loose"):
            paths: tuple[str, ...] = getattr(self, what)
            if paths:
                more = f" and {len(paths) - most:,} more" if len(paths) > most else ""
                said = "writable by anybody" if what == "loose" else what
                parts.append(f"{said}: {', '.join(map(printable, paths[:most]))}{more}")
        return "; ".join(parts)


def seal(entries: Iterable[Entry], version: str, key: KeyPair, *, at: int) -> bytes:
    """The signed manifest of these files. Raises Invalid for a path, a number of them or a version that has no form."""
    files = sorted(entries, key=lambda entry: entry.path.encode(errors="surrogateescape"))
    for entry in files:
        if entry.kind is Kind.OTHER:
            raise Invalid(f"{printable(entry.path)} is neither a file nor a link")
    wire = [[entry.path, int(entry.kind), entry.size, entry.digest] for entry in files]
    payload = cbor.encode({_VERSION: version, _AT: at, _FILES: wire})
    _read_payload(payload, "")
    return cose.sign1(payload, Typ.MANIFEST, key, external_aad=_CONTEXT, unprotected={_KID: key.kid})


def read(data: bytes, anchors: Mapping[bytes, str]) -> Manifest:
    """The manifest in `data`, signed by one of the `anchors`: public keys, and what each is called.

    Raises Refused where none of them signed it, Invalid for what is no manifest.
    """
    signed = cose.read_sign1(data, limit=MAX_MANIFEST)
    kid = signed.unprotected.get(_KID)
    if type(kid) is not bytes or len(kid) != KID_BYTES:
        raise Invalid("a manifest says whose key signed it")
    for public, name in anchors.items():
        if kid_of(public) == kid:
            signed.verify(public, typ=Typ.MANIFEST, external_aad=_CONTEXT)
            return _read_payload(signed.payload, name)
    raise Refused(
        f"the manifest is signed by {fingerprint_words(kid)}, whom nothing here names as an anchor",
        hint="name its key in [security] trust-anchors, or seal what is installed: sudo kos-edge install",
    )


def compare(manifest: Manifest, found: Iterable[Entry], loose: Iterable[str] = ()) -> Report:
    """What differs; `found` is every file that is there now, `loose` the paths that anybody may write."""
    missing = dict(manifest.files)
    changed, added = [], []
    for entry in found:
        sealed = missing.pop(entry.path, None)
        if sealed is None:
            added.append(entry.path)
        elif sealed != entry:
            changed.append(entry.path)
    return Report(manifest, _sorted(missing), _sorted(changed), _sorted(added), _sorted(loose))


def link_entry(path: str, target: bytes) -> Entry:
    """The entry of a symbolic link."""
    return Entry(path, Kind.LINK, len(target), hashlib.sha256(target).digest())


def printable(path: str) -> str:
    """A path as it can be shown: names of files may be any bytes."""
    return path.encode(errors="backslashreplace").decode()[:MAX_PATH]


def _sorted(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(paths))


def _read_payload(payload: bytes, signer: str) -> Manifest:
    value = cbor.decode(payload, limit=MAX_MANIFEST, items=5 * MAX_FILES + 16)
    if type(value) is not dict or set(value) != {_VERSION, _AT, _FILES}:
        raise Invalid("a manifest has exactly a version, a time and files")
    version, at, wire = value[_VERSION], value[_AT], value[_FILES]
    if type(version) is not str or not 0 < len(version) <= MAX_VERSION:
        raise Invalid(f"the version of a manifest is a text of 1 to {MAX_VERSION} characters")
    if type(at) is not int or not 0 <= at < 1 << 36:
        raise Invalid("the time of a manifest is seconds since 1970")
    if type(wire) is not list or not 0 < len(wire) <= MAX_FILES:
        raise Invalid(f"a manifest has 1 to {MAX_FILES:,} files")
    files: dict[str, Entry] = {}
    before = b""
    for item in wire:
        entry = _read_entry(item)
        path = entry.path.encode()
        if path <= before:
            raise Invalid("the paths of a manifest are sorted, each once")
        before, files[entry.path] = path, entry
    return Manifest(version, at, files, signer)


def _read_entry(item: object) -> Entry:
    match item:
        case [str(path), int(kind), int(size), bytes(digest)] if (
            type(kind) is int and type(size) is int and 0 <= size < _MAX_SIZE and len(digest) == 32
        ):
            parts = path.split("/")
            if len(path) > MAX_PATH or "\0" in path or not all(parts) or {".", ".."} & set(parts):
                raise Invalid("a path of a manifest is relative and leads nowhere else")
            if 0 <= kind < Kind.OTHER:
                return Entry(path, Kind(kind), size, digest)
    raise Invalid("a file of a manifest is [path, kind, size, SHA-256]")
