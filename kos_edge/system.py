"""What systems do differently, in one place: the daemon runs on Linux, an operator's station on others too."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
from pathlib import Path
from types import ModuleType

try:
    import fcntl as _fcntl

    fcntl: ModuleType | None = _fcntl
except ImportError:  # Windows
    fcntl = None

try:
    import msvcrt as _msvcrt

    msvcrt: ModuleType | None = _msvcrt
except ImportError:  # everywhere else
    msvcrt = None

CLOEXEC = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Flags for `os.open`: no child gets it, and no byte is changed on its way."""

HAS_UNIX_SOCKETS = hasattr(socket, "AF_UNIX") and sys.platform != "win32"
"""Whether there can be a daemon here that answers on a control socket."""

HAS_ANCILLARY_DATA = hasattr(socket.socket, "recvmsg") and hasattr(socket, "CMSG_SPACE")
"""Whether a datagram's own destination can be read (RFC 3542): the UDP carrier needs it."""

_LOCK_AT = 1 << 20  # Windows locks bytes for readers too: one beyond those that are read


def user_id() -> int | None:
    """Whose process this is; None where users have no numbers."""
    return os.geteuid() if hasattr(os, "geteuid") else None


def free_bytes(path: Path) -> int:
    """Bytes that this user may still write beside `path`. Raises OSError."""
    return shutil.disk_usage(path).free


def allocate(descriptor: int, size: int) -> None:
    """Give a file so many bytes that are there when they are needed. Raises OSError."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    for at in range(0, size, 65_536):
        os.write(descriptor, bytes(min(65_536, size - at)))


def allocated_bytes(path: Path) -> int:
    """How much of the disk a file has, which may be less than its size. Raises OSError."""
    found = path.stat()
    blocks: int | None = getattr(found, "st_blocks", None)
    return found.st_size if blocks is None else blocks * 512


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable, where the system can do that. Raises OSError."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_mode(descriptor: int, path: Path, mode: int) -> None:
    """Let only these people at an open file. Raises OSError."""
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)
    else:
        path.chmod(mode)


def lock(descriptor: int) -> None:
    """Hold a file for this process until it is closed. Raises BlockingIOError where another has it, OSError."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif msvcrt is not None:
        os.lseek(descriptor, _LOCK_AT, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from None


def read_at_start(descriptor: int, size: int) -> bytes:
    """The first bytes of an open file. Raises OSError."""
    return read_at(descriptor, 0, size)


def read_at(descriptor: int, at: int, size: int) -> bytes:
    """So many bytes of an open file from a place on. Raises OSError, OverflowError."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, at)
    os.lseek(descriptor, at, os.SEEK_SET)
    return os.read(descriptor, size)


def write_whole(descriptor: int, data: bytes) -> None:
    """Make `data` all that an open file has. Raises OSError."""
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, data)


def tune_connection(opened: socket.socket, keepalive_s: int, user_timeout_ms: int) -> None:
    """No waiting for more to send; a side that is gone is noticed: RFC 5482, where the system knows of it."""
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = (
        ("TCP_KEEPIDLE", keepalive_s),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", user_timeout_ms),
    )
    for name, value in options:
        number = getattr(socket, name, None)
        if number is not None:
            with contextlib.suppress(OSError):
                opened.setsockopt(socket.IPPROTO_TCP, number, value)
