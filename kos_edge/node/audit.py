"""What operators have had done here: a JSON line for each, the newest megabyte of them and the one before."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from kos_edge.control.reports import Json
from kos_edge.control.wire import encode
from kos_edge.said import Said

NAME = "audit.log"
MAX_BYTES = 1_000_000

log = logging.getLogger(__name__)


class Audit:
    """`audit.log` in the state directory, and `audit.log.1` before it."""

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
                self._path.replace(self._path.with_name(f"{NAME}.1"))
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                file.write(line)
                file.flush()
                os.fsync(descriptor)
        except OSError as error:
            log.error("%s cannot be written: %s", self._path, error.strerror, extra=Said.NOT_KEPT.of())
