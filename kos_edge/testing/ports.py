"""Ports for the processes of a test."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LEAST = 10_000


def free_port(host: str = "127.0.0.1") -> int:
    """A port that UDP and TCP can both have at `host`, below those that the kernel gives to whoever asks for any.

    A port of the kernel's own choice may be another connection's a moment later, before the process of the test has it.
    """
    try:
        below = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        below = 32_768
    while True:
        port = random.SystemRandom().randrange(_LEAST, max(below, _LEAST + 1_000))
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
            socket.socket() as stream,
        ):
            datagram.bind((host, port))
            stream.bind((host, port))
            return port
