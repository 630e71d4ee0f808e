"""The table of `make bench`: every figure that we promise, and what it is measured beside."""

from __future__ import annotations

from benchmarks.row import Row

ROWS: tuple[Row, ...] = (
    Row(
        "packs",
        "readings a second, device to hub, packs over TCP with OSCORE, synced on both ends",
        "readings/s",
        "delivery:tcp_packs",
        goal=20_000,
    ),
)
