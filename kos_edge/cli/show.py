"""Values as people read them: local times, ages, sizes, columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.node.quantities import parse_duration

_BARS = "▁▂▃▄▅▆▇█"


def local_time(text: str | None) -> str:
    """An RFC 3339 time as this machine's clock on the wall shows it, to the second."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S") if text else "unknown"


def parse_when(text: str, now: float) -> float:
    """Wall seconds of a time: RFC 3339, a local date or time, or a duration before `now` such as 1h."""
    try:
        return now - parse_duration(text)
    except Invalid:
        pass
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        raise Invalid(
            f"{text[:40]!r} is no time",
            hint="such as 2026-01-31T12:00:00Z, 2026-01-31, or 1h for an hour ago",
        ) from None


def span(seconds: float | None) -> str:
    """A duration in its two largest units."""
    if seconds is None:
        return "unknown"
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    whole = int(seconds)
    parts = [
        f"{count} {unit}"
        for count, unit in (
            (whole // 86400, "d"),
            (whole % 86400 // 3600, "h"),
            (whole % 3600 // 60, "min"),
            (whole % 60, "s"),
        )
        if count
    ]
    return " ".join(parts[:2])


def years(seconds: float) -> str:
    """A long time, in years or days."""
    long = seconds / (365.25 * 86_400)
    if long >= 100:
        return "more than 100 years"
    return f"{long:.1f} years" if long >= 2 else f"{seconds / 86_400:,.0f} days"


def age(text: str | None, now: float) -> str:
    """How long ago an RFC 3339 time was."""
    if text is None:
        return "unknown"
    seconds = int(now - datetime.fromisoformat(text).timestamp())
    return span(seconds) if seconds > 0 else "0 s"


def size(count: int) -> str:
    """Bytes with a decimal unit and at most three digits."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def clean(text: str) -> str:
    """A stranger's text with nothing in it that moves a terminal's cursor or colours."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(count: int, thing: str) -> str:
    """``1 message``, ``2,000 messages``."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def plain_value(body: Any, unit: Any = None) -> str:
    """A message's body on one line: text and numbers as they are, the rest as JSON."""
    if isinstance(body, dict) and isinstance(unit, dict):
        return ", ".join(f"{clean(key)} {plain_value(value, unit.get(key))}" for key, value in body.items())
    text = clean(body if isinstance(body, str) else json.dumps(body, ensure_ascii=False))
    return f"{text} {clean(unit)}" if isinstance(unit, str) and unit else text


def columns(rows: Iterable[Sequence[str]], header: Sequence[str]) -> str:
    """Rows under a header, each column as wide as its widest cell, the last one free."""
    table = [list(header), *([clean(cell) for cell in row] for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def sparkline(values: Sequence[float]) -> str:
    """The course of numbers, lowest to highest, in eight heights; a flat one lies in the middle."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if high == low:
        return _BARS[3] * len(values)
    return "".join(_BARS[round((value - low) / (high - low) * (len(_BARS) - 1))] for value in values)
