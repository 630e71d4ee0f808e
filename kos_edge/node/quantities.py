"""Durations and sizes as people write them: ``100ms``, ``1h``, ``1GB``."""

from __future__ import annotations

import re

from kos_edge.errors import Invalid

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_QUANTITY = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]*)", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds of ``100ms``, ``30s``, ``5m``, ``1h``, ``7d``, ``2w``; ``0`` needs no unit. Raises Invalid."""
    found = _QUANTITY.fullmatch(text)
    if found and found[2] in _SECONDS:
        return float(found[1]) * _SECONDS[found[2]]
    if text == "0":
        return 0.0
    raise Invalid(f"{text[:40]!r} is no duration", hint="a number and ms, s, m, h, d or w, such as 30s")


def show_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as the same whole number of milliseconds."""
    ms = round(seconds * 1000)
    if ms == 0:
        return "0"
    for unit in ("d", "h", "m", "s"):
        size = round(_SECONDS[unit] * 1000)
        if ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms"


def parse_size(text: str) -> int:
    """Bytes of ``64KiB``, ``512MB``, ``1GB`` or a plain number of them. Raises Invalid."""
    found = _QUANTITY.fullmatch(text)
    if found and (found[2] or "B") in _BYTES:
        size = float(found[1]) * _BYTES[found[2] or "B"]
        if size == int(size):
            return int(size)
    raise Invalid(
        f"{text[:40]!r} is no size", hint="a number and B, kB, MB, GB, KiB, MiB or GiB, such as 1GB"
    )


def show_size(size: int) -> str:
    """The shortest text that `parse_size` reads as exactly `size` bytes."""
    if size == 0:
        return "0"
    for unit in ("TB", "GB", "GiB", "MB", "MiB", "kB", "KiB"):
        if size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size)
