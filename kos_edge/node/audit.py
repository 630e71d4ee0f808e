"""What operators have had done here: a JSON line for each, the newest ten megabytes of them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from kos_edge.control.reports import Json
from kos_edge.control.wire import encode
from kos_edge.said import Said

NAME = "audit.log"
MAX_BYTES = 1_000_000
FILES = 10
"""Of so many bytes: whoever has stolen a station must not push out of them what it did first."""

log = logging.getLogger(__name__)


class Audit:
    """`audit.log` in the state directory, and `audit.log.1` to `audit.log.9` before it."""

    def __init__(self, state: Path) -> None:
        self._path = state / NAME

    def write(self, entry: dict[str, Json]) -> None:
        """A line, on disk when this returns. A disk that takes none stops nobody: a revocation must not wait for it."""
        line = encode(entry)
        log.info(
            "operator %s: %s %s, %s",
            entry["name"],
            entry["verb"],
            entry["params"],
            entry["outcome"],
            extra=Said.OPERATED.of(operator=entry["name"], verb=entry["verb"]),
        )
        try:
            if self._path.exists() and self._path.stat().st_size + len(line) > MAX_BYTES:
                self._turn()
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                file.write(line)
                file.flush()
                os.fsync(descriptor)
        except OSError as error:
            log.error("%s cannot be written: %s", self._path, error.strerror, extra=Said.NOT_KEPT.of())

    def _turn(self) -> None:
        """Each file becomes the one before; the oldest goes. Raises OSError."""
        places = [self._path, *(self._path.with_name(f"{NAME}.{number}") for number in range(1, FILES))]
        for older, newer in zip(reversed(places), reversed(places[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)
