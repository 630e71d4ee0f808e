"""Room on the disk: a reserve that is let go of when the disk is full, so that everything but messages goes on.

While the disk is full no message is taken in. Settling, receipts, checkpoints and records still are: they free the
room, or are small. As soon as the reserve can be made again, messages are taken as before.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from kos_edge.errors import Unavailable
from kos_edge.system import CLOEXEC, allocate, allocated_bytes, free_bytes

RESERVE_BYTES = 2 << 20
"""A whole log of 1 MB may have to go into the file before it can begin anew, and as much log on top meanwhile."""

ROOM_BYTES = 256 << 10  # beyond the reserve before messages are taken again, so that it does not flutter


class Space:
    """The reserve beside the database `path`; `full` while no message may be taken in. A store in memory has none."""

    def __init__(self, path: Path | str) -> None:
        self._file = path.with_name(f"{path.name}.reserve") if isinstance(path, Path) else None
        self._path = path
        self._held = False
        self.full = False

    @property
    def trouble(self) -> str | None:
        """What a person should know; None while there is room."""
        return (
            f"the disk with {self._path} is full: no message is taken until there is room"
            if self.full
            else None
        )

    @property
    def short(self) -> bool:
        """Whether the reserve is not there, so that it takes a look before a message is taken in."""
        return self._file is not None and not self._held

    def exhausted(self) -> bool:
        """Whether the disk has nothing left at all."""
        if self._file is None:
            return False
        return free_bytes(self._file.parent) < 65_536

    def keep(self) -> None:
        """Hold the reserve, or be full where the disk has no room for it."""
        if self._file is None:
            return
        if self._made():
            self._held, self.full = True, False
        else:
            self.full = True

    def release(self) -> bool:
        """The disk is full: let go of the reserve. Whether that made room."""
        self.full, self._held = self._file is not None, False
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()
                return True
        return False

    def look(self) -> None:
        """While the disk is full: see whether there is room again."""
        if self.full and self._made():
            self._held, self.full = True, False

    def check(self, free_inside: int) -> None:
        """Before a message is taken in: raises Unavailable while the disk is full.

        `free_inside` are the bytes of the database's own free pages: with those it takes messages without growing.
        """
        if self._made():
            self._held, self.full = True, False
            return
        self.full = free_inside < ROOM_BYTES
        if self.full:
            raise no_space(self._path)

    def _made(self) -> bool:
        """Make the reserve where there is room for it and more."""
        try:
            assert self._file is not None
            if self._file.exists() and allocated_bytes(self._file) >= RESERVE_BYTES:
                return True
            if free_bytes(self._file.parent) < RESERVE_BYTES + ROOM_BYTES:
                return False
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | CLOEXEC, 0o600)
            try:
                allocate(descriptor, RESERVE_BYTES)
            finally:
                os.close(descriptor)
        except OSError:  # no inode for it either
            return False
        return True


def no_space(path: Path | str) -> Unavailable:
    """What whoever hands in a message is told."""
    return Unavailable(
        f"no space left for {path}", hint="free some space: it goes on by itself; what was accepted is safe"
    )
