"""Looking for secrets in files: every byte, in every form in which a secret is written down."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

LEAST = 8
"""Bytes of a secret that is looked for: a shorter one is found everywhere by chance."""
_CHUNK = 4 << 20


@dataclass(frozen=True, slots=True)
class Needle:
    """One secret, and what it is called."""

    name: str
    secret: bytes = field(repr=False)

    @property
    def forms(self) -> tuple[bytes, ...]:
        """As bytes, in hex of both cases, and in base64 of both alphabets, whatever stands before it."""
        found = [self.secret, self.secret.hex().encode(), self.secret.hex().upper().encode()]
        for shift in range(3):
            text = base64.b64encode(bytes(shift) + self.secret)
            # What the bytes before and behind it have a part in is not its own.
            inner = text[(0, 2, 3)[shift] : len(text) - (0, 3, 2)[(shift + len(self.secret)) % 3] or None]
            found += [inner, inner.translate(bytes.maketrans(b"+/", b"-_"))]
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Find:
    """A secret in a file."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Look:
    """What was looked at, and what was found in it."""

    files: int
    bytes: int
    finds: tuple[Find, ...]


def look(folders: Iterable[Path], needles: Iterable[Needle]) -> Look:
    """Read every byte of every file under the folders. Links are not followed. Raises OSError."""
    forms = [
        (needle.name, form) for needle in needles if len(needle.secret) >= LEAST for form in needle.forms
    ]
    longest = max((len(form) for _, form in forms), default=1)
    count = size = 0
    finds: dict[Find, None] = {}
    for path in sorted(set(_files(folders))):
        count += 1
        rest = b""
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                size += len(chunk)
                window = rest + chunk
                finds.update(dict.fromkeys(Find(name, path) for name, form in forms if form in window))
                rest = window[1 - longest :] if longest > 1 else b""
    return Look(count, size, tuple(finds))


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        for root, _, names in os.walk(folder):
            for name in names:
                path = Path(root) / name
                if path.is_file() and not path.is_symlink():
                    yield path
