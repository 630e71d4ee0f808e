"""Fuzz targets of what members say to each other about packs."""

from __future__ import annotations

import contextlib

from kos_edge.delivery import wire
from kos_edge.errors import Invalid


def fuzz_ship(data: bytes) -> None:
    """Only Invalid escapes, and what is read is written the same."""
    with contextlib.suppress(Invalid):
        assert wire.encode_ship(wire.decode_ship(data)) == data


def fuzz_answer(data: bytes) -> None:
    """Only Invalid escapes."""
    with contextlib.suppress(Invalid):
        wire.decode_answer(data)


def fuzz_sync(data: bytes) -> None:
    """Only Invalid escapes."""
    with contextlib.suppress(Invalid):
        wire.decode_sync(data)


def fuzz_synced(data: bytes) -> None:
    """Only Invalid escapes."""
    with contextlib.suppress(Invalid):
        wire.decode_synced(data)
