"""What an installation has changed, so that it can be taken back: the machine is then as it was."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from kos_edge.errors import KosError
from kos_edge.install.disk import said


class Changes:
    """Changes of files, each with its way back. All of it raises Unavailable where the disk does not do it."""

    def __init__(self) -> None:
        self._back: list[tuple[str, Callable[[], None]]] = []

    @property
    def any(self) -> bool:
        """Whether anything is different."""
        return bool(self._back)

    def did(self, what: str, back: Callable[[], None]) -> None:
        """Something was changed that `back` takes back."""
        self._back.append((what, back))

    def directory(self, path: Path, mode: int = 0o755) -> bool:
        """Make a folder, and those above it; whether it was not there."""
        if path.is_dir():
            return False
        with said(path):
            if not path.parent.is_dir():
                self.directory(path.parent)
            path.mkdir(mode=mode)
            self.did(f"{path}", lambda: path.rmdir())
            path.chmod(mode)
        return True

    def write(self, path: Path, data: bytes, mode: int = 0o644) -> bool:
        """Make a file hold exactly this, whole or not at all; whether it did not."""
        self.directory(path.parent)
        with said(path):
            before = (path.read_bytes(), path.stat().st_mode & 0o777) if path.is_file() else None
            if before == (data, mode):
                return False
            _put(path, data, mode)
        if before is None:
            self.did(f"{path}", path.unlink)
        else:
            old = before
            self.did(f"{path}", lambda: _put(path, *old))
        return True

    def remove(self, path: Path) -> bool:
        """Remove a file, link or folder; whether it was there. There is no way back."""
        with said(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.exists() or path.is_symlink():
                path.unlink()
            else:
                return False
        return True

    def undo(self) -> list[str]:
        """Take all back, the last first; what could not be, in words."""
        left = []
        while self._back:
            what, back = self._back.pop()
            try:
                back()
            except OSError as error:
                left.append(f"{what}: {error.strerror}")
            except KosError as error:
                left.append(f"{what}: {error.message}")
        return left


def _put(path: Path, data: bytes, mode: int) -> None:
    fresh = path.with_name(f".{path.name}.kos-edge-new")
    try:
        with fresh.open("wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
