"""Where the control socket is, also when its path is longer than a socket address may be."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

SOCKET_NAME = "control.sock"
"""The socket's name in the state directory."""

_ADDRESS_LIMIT = 107
"""Bytes of a path in `sockaddr_un` (unix(7): 108 with the final NUL)."""


@contextlib.contextmanager
def reachable_path(path: Path) -> Iterator[str]:
    """A name for `path` that bind and connect take, valid inside the block: short ones as they are.

    A long one is reached through an open descriptor of its directory. Raises OSError.
    """
    if len(os.fsencode(path)) <= _ADDRESS_LIMIT:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
