"""What the kernel says of this process: proc(5)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """Seconds of processor time, bytes of memory, descriptors, threads, bytes handed to write calls.

    None where the system does not say.
    """

    cpu_s: float
    resident_bytes: int | None
    open_files: int | None
    threads: int | None
    written_bytes: int | None


def figures(proc: Path = _PROC) -> ProcessFigures:
    """As they are now."""
    status = _fields(proc / "status")
    resident = status.get("VmRSS")
    try:
        files: int | None = len(os.listdir(proc / "fd"))
    except OSError:
        files = None
    return ProcessFigures(
        cpu_s=time.process_time(),
        resident_bytes=None if resident is None else resident * 1024,
        open_files=files,
        threads=status.get("Threads"),
        written_bytes=_fields(proc / "io").get("wchar"),
    )


def resident_bytes(proc: Path = _PROC) -> int | None:
    """The memory that this process has now."""
    resident = _fields(proc / "status").get("VmRSS")
    return None if resident is None else resident * 1024


def stored_bytes(proc: Path = _PROC) -> int | None:
    """What this process has had written to storage: whole pages, not what it handed to write calls."""
    return _fields(proc / "io").get("write_bytes")


def give_back() -> None:
    """Hand memory that is free inside this process back to the system: after a start about 1 MB of what it has freed.

    malloc_trim(3) is glibc's own; elsewhere this does nothing.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _fields(path: Path) -> dict[str, int]:
    """The whole numbers of a file with a `name: value` in each line."""
    found: dict[str, int] = {}
    try:
        text = path.read_text()
    except OSError:
        return found
    for line in text.splitlines():
        name, _, value = line.partition(":")
        number = value.split()[:1]
        if number and number[0].isdigit():
            found[name] = int(number[0])
    return found
