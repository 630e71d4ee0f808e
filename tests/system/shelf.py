"""A disk of its own for a machine's state directory: small, or one whose writes fail.

It is an ext4 on a loop device; its backing file has holes and lies on a small tmpfs. Where that tmpfs is full, a write
to a block that was never written before ends in an I/O error, as on a card that dies or a volume that was promised more
than there is; what was written stays readable.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

FREE_WITHIN_S = 20.0


class Shelf:
    """A mounted disk at `place`, as large as `size`, over backing store of `backing` bytes."""

    def __init__(self, folder: Path, size: int, backing: int) -> None:
        self.place = folder / "shelf"
        self._under = folder / "under"
        self._filler = self._under / "filler"
        self._backing = backing
        for place in (self.place, self._under):
            place.mkdir()
        _run("mount", "-t", "tmpfs", "-o", f"size={backing}", "tmpfs", str(self._under))
        with (self._under / "disk").open("wb") as file:
            file.truncate(size)
        _run("mkfs.ext4", "-q", "-F", str(self._under / "disk"))

    def mount(self) -> None:
        """Check it as a boot does, and mount it."""
        _run("e2fsck", "-p", str(self._under / "disk"), allowed=(0, 1, 2))
        _run("mount", "-o", "loop", str(self._under / "disk"), str(self.place))

    def unmount(self) -> None:
        _unmount(self.place)

    def fail(self) -> None:
        """From now on a write to a new block is an I/O error."""
        with self._filler.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(65_536))
                file.flush()

    def mend(self) -> None:
        """Writes succeed again."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        self.unmount()
        _unmount(self._under)


@contextlib.contextmanager
def shelf(folder: Path, *, size: int = 64 << 20, backing: int = 64 << 20) -> Iterator[Shelf]:
    """A disk, mounted; gone afterwards."""
    made = Shelf(folder, size, backing)
    try:
        made.mount()
        yield made
    finally:
        made.close()


def _unmount(place: Path) -> None:
    """The kernel lets go of a loop device a moment after its last use."""
    end = time.monotonic() + FREE_WITHIN_S
    while place.is_mount():
        done = subprocess.run(["umount", str(place)], capture_output=True, text=True, check=False)
        assert done.returncode == 0 or time.monotonic() < end, done
        time.sleep(0.1)


def _run(*words: str, allowed: tuple[int, ...] = (0,)) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode in allowed, done
