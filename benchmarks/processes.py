"""What the kernel says of a process: its processor time, memory, and the bytes that it handed to write calls."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Seconds of processor time so far, of all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mb(pid: int) -> float:
    """Megabytes of memory that it holds now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def written(pid: int) -> int:
    """Bytes that it has handed to write calls so far: files, for asyncio's sockets are sent to by other calls."""
    return _io(pid, "wchar")


def stored(pid: int) -> int:
    """Bytes that the kernel counts for its disks so far: whole pages."""
    return _io(pid, "write_bytes")


def _io(pid: int, name: str) -> int:
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields[name])
