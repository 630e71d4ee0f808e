"""Small files that survive a loss of power: written whole or not at all, the one before kept beside.

`StateFile.write` makes the new file's data durable before it takes the old one's name; `StateFile.read` falls
back to the generation before where the newest is damaged, and says so.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from kos_edge.errors import Invalid, Unavailable
from kos_edge.system import CLOEXEC, set_mode, sync_directory

T = TypeVar("T")

FILE_LIMIT = 16 << 20
"""Bytes of a state file; what grows without bound belongs in the store."""


def write_durably(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Make `path` hold exactly `data`, on disk, or leave it as it was. Raises Unavailable."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            set_mode(descriptor, temporary, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise Unavailable(f"cannot write {path}: {error.strerror}", hint=_remedy(error)) from error


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What a state file holds; `trouble` says what was wrong with the newest when this is the one before."""

    value: T
    trouble: str | None = None


class StateFile(Generic[T]):
    """A file whose content `parse` reads (Invalid for what is damaged), and the generation before it."""

    def __init__(self, path: Path, parse: Callable[[bytes], T], *, mode: int = 0o600) -> None:
        self.path = path
        self.previous = path.with_name(f"{path.name}.previous")
        self._parse = parse
        self._mode = mode

    def read(self) -> Found[T] | None:
        """The newest that is whole; None where there was never any. Raises Invalid where all are damaged."""
        newest = self._generation(self.path)
        if isinstance(newest, Found):
            return newest
        before = self._generation(self.previous)
        if isinstance(before, Found):
            trouble = newest.message if newest else f"{self.path} is missing"
            return Found(before.value, trouble)
        damage = newest or before
        if damage is None:
            return None
        raise damage

    def write(self, data: bytes) -> None:
        """Make `data` the newest, and what was whole until now the one before. Raises Unavailable.

        A damaged newest does not replace a whole one before.
        """
        if isinstance(self._generation(self.path), Found):
            spare = self.previous.with_name(f".{self.previous.name}.new")
            try:
                spare.unlink(missing_ok=True)
                os.link(self.path, spare)
                spare.replace(self.previous)
            except OSError as error:
                raise Unavailable(f"cannot write {self.previous}: {error.strerror}") from error
        write_durably(self.path, data, mode=self._mode)

    def _generation(self, path: Path) -> Found[T] | Invalid | None:
        try:
            with path.open("rb") as file:
                data = file.read(FILE_LIMIT + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            return Invalid(f"cannot read {path}: {error.strerror}")
        try:
            if len(data) > FILE_LIMIT:
                raise Invalid(f"has more than {FILE_LIMIT:,} bytes")
            return Found(self._parse(data))
        except Invalid as error:
            return Invalid(f"{path} is damaged: {error.message}", hint=error.hint)


def _remedy(error: OSError) -> str | None:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "make room on the disk"
        case errno.EROFS:
            return "mount it writable"
        case errno.EACCES | errno.EPERM:
            return "run as the user that owns the state directory"
        case _:
            return None
