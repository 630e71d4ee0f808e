"""The trace of a simulated run: a line for everything that happens, the same to the byte for the same seed."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from kos_edge.transport.address import Address


class Trace:
    """Lines with their virtual second. Nothing that differs between two processes may be written into it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        """Something happened now."""
        self.lines.append(f"{asyncio.get_running_loop().time():.6f} {text}")

    def packet(self, what: str, source: Address, target: Address, data: bytes) -> None:
        """Something happened to bytes on a wire: `transport.memory.Network.watch`."""
        digest = hashlib.blake2b(data, digest_size=6).hexdigest()
        self.note(f"{what} {source} {target} {len(data)} {digest}")

    @property
    def digest(self) -> str:
        """SHA-256 of the whole of it."""
        return hashlib.sha256(self._bytes()).hexdigest()

    def write(self, path: Path) -> None:
        """Write it to a file."""
        path.write_bytes(self._bytes())

    def _bytes(self) -> bytes:
        return "".join(f"{line}\n" for line in self.lines).encode()
