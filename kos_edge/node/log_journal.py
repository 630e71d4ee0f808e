"""systemd's journal by its native protocol: one datagram an entry (systemd.io/JOURNAL_NATIVE_PROTOCOL).

A field is `NAME=value` and a newline; a value with a newline in it stands behind its name, a newline and its length
in eight bytes, little-endian.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

SOCKET = Path("/run/systemd/journal/socket")
SEND_BUFFER = 1 << 20


def is_journal(descriptor: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this descriptor is what systemd has connected to its journal: JOURNAL_STREAM, systemd.exec(5)."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


class Journal:
    """Writes entries. `lost` counts those that the journal did not take; a line is never waited for."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._path = str(path)
        self._wire = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        )
        self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.lost = 0

    def write(self, fields: Mapping[str, str]) -> bool:
        """Hand one entry over. Whether it was taken."""
        try:
            self._wire.sendto(encode(fields), self._path)
        except OSError:
            self.lost += 1
            return False
        return True

    def close(self) -> None:
        """Nothing more is written."""
        self._wire.close()


def encode(fields: Mapping[str, str]) -> bytes:
    """The datagram of an entry."""
    parts: list[bytes] = []
    for name, value in fields.items():
        data = value.encode(errors="replace")
        if b"\n" in data:
            parts += [name.encode(), b"\n", len(data).to_bytes(8, "little"), data, b"\n"]
        else:
            parts += [name.encode(), b"=", data, b"\n"]
    return b"".join(parts)
