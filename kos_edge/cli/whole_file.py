"""A file that is there whole or not at all: written aside, synced, and only then given its name."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from kos_edge.errors import KosError, Unavailable
from kos_edge.system import CLOEXEC, sync_directory


class WholeFile:
    """`with WholeFile(path) as file: file.write(…)`. What was at `path` stays until all of the new file is on disk.

    Where the block raises, nothing is left of the new one. Raises Unavailable for what the disk does not take.
    """

    def __init__(self, path: Path, *, mode: int = 0o600) -> None:
        self.path = path
        self.size = 0
        self._aside = path.with_name(f".{path.name}.part")
        self._mode = mode
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        try:
            if self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self._aside.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | CLOEXEC
            self._file = os.fdopen(os.open(self._aside, flags, self._mode), "wb")
        except OSError as error:
            raise self._trouble(error) from error
        return self

    def write(self, data: bytes) -> None:
        """The next bytes."""
        assert self._file is not None
        try:
            self._file.write(data)
        except OSError as error:
            raise self._trouble(error) from error
        self.size += len(data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        try:
            if error is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                self._aside.replace(self.path)
                with contextlib.suppress(OSError):  # FAT cannot promise that everywhere
                    sync_directory(self.path.parent)
        except OSError as trouble:
            raise self._trouble(trouble) from trouble
        finally:
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                self._aside.unlink(missing_ok=True)

    def _trouble(self, error: OSError) -> KosError:
        before = ", which is as it was" if self.path.is_file() else ""
        hint = {
            errno.ENOSPC: "make room there, or take another",
            errno.EDQUOT: "make room there, or take another",
            errno.EFBIG: "take a file system that has files of this size",
            errno.EROFS: "mount it writable, or take another",
            errno.ENOENT: "make the directory first",
        }.get(error.errno or 0)
        return Unavailable(f"cannot write {self.path}{before}: {error.strerror or error}", hint=hint)
