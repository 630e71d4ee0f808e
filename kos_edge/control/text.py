"""Reports as text: one line of JSON, and messages as rows of CSV (RFC 4180)."""

from __future__ import annotations

import json
from typing import Any

from kos_edge.control.reports import Delivered, Json

COLUMNS = ("at", "source", "name", "topic", "seq", "id", "type", "body", "unit", "late")
"""Of the CSV, in this order for good; new ones come at the end."""

_CONTROLS = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""What JSON lets through and a terminal obeys: DEL and the C1 controls."""


def json_line(value: Any) -> str:
    """One line of JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).translate(_CONTROLS)


def cells(message: Delivered) -> list[str]:
    """The row of one message: text as it is, nothing where there is none, everything else as JSON."""
    return [_cell(dict(message).get(column)) for column in COLUMNS]


def _cell(value: Json) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json_line(value)
