"""The architectures that there are packages for, and what wheels of each are called."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

PYTHONS = ("3.11", "3.13")
"""Of Debian 12 and 13."""

_GLIBC = (36, 35, 34, 31, 28, 27, 26, 24, 17)
"""Debian 12 has glibc 2.36; a wheel's name says the least that it needs."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """One of Debian's. `substitutes` are the Debian packages that stand in for what has no wheel there."""

    debian: str
    machine: str
    substitutes: tuple[tuple[str, str], ...] = ()

    @property
    def platforms(self) -> list[str]:
        """Of wheels that run there, the best first."""
        return [f"manylinux_2_{minor}_{self.machine}" for minor in _GLIBC] + [
            f"manylinux2014_{self.machine}",
            f"linux_{self.machine}",
        ]


ALL = {
    each.debian: each
    for each in (
        Architecture("amd64", "x86_64"),
        Architecture("arm64", "aarch64"),
        # cryptography has a wheel for 32-bit ARM, the cffi that it imports has none.
        Architecture("armhf", "armv7l", substitutes=(("cffi", "python3-cffi-backend"), ("pycparser", ""))),
    )
}


def own() -> str:
    """Debian's name of this machine's architecture."""
    asked = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return asked.stdout.strip()
