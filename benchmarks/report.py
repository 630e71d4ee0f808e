"""What was found, as a table for people and as `build/bench.json` for everything else."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.rounds import Found
from benchmarks.rows import ROWS

PACKAGES = ("kos-edge", "cryptography", "cbor2", "aiocoap", "nats-py", "paho-mqtt")


def machine() -> dict[str, Any]:
    """What this ran on."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        "",
    )
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "processor": cpu or platform.machine(),
        "cores": os.cpu_count(),
        "memory_mb": int(memory) // 1024,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """The packages that are compared, those that are here."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def table(found: Sequence[Found]) -> str:
    """The rows for a person to read."""
    lines = [f"{'row':12}{'value':>12} {'unit':12}{'goal':>12}  holds  {'beside':>12}  what"]
    for each in found:
        row = each.row
        goal = f"{'<=' if row.at_most else '>='} {row.goal:,g}"
        holds = {None: "?", True: "yes", False: "NO"}[each.holds]
        beside = each.beside.median if each.beside else None
        unit = "times" if row.ratio else row.unit
        lines.append(
            f"{row.name:12}{_shown(each.value):>12} {unit:12}{goal:>12}  {holds:5}  {_shown(beside):>12}  {row.what}"
        )
        lines += [
            f"{'':12}not measured: {part.why}" for part in (each.mine, each.beside) if part and part.why
        ]
    return "\n".join(lines)


def write(path: Path, found: Sequence[Found], *, short: bool) -> dict[str, Any]:
    """Put the rows into `build/bench.json`, in place of what it said of them before; all that it says then."""
    before = json.loads(path.read_text()) if path.exists() else {}
    rows = {row["name"]: row for row in before.get("rows", [])}
    rows |= {each.row.name: _as_json(each, short=short) for each in found}
    order = {row.name: place for place, row in enumerate(ROWS)}
    in_order = sorted(rows.values(), key=lambda row: order.get(row["name"], len(order)))
    report = {"machine": machine(), "versions": versions(), "rows": in_order}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
    return report


def _as_json(found: Found, *, short: bool) -> dict[str, Any]:
    row, beside = found.row, found.row.beside
    said: dict[str, Any] = {
        "name": row.name,
        "what": row.what,
        "value": found.value,
        "unit": "times" if row.ratio else row.unit,
        "goal": row.goal,
        "at_most": row.at_most,
        "holds": found.holds,
        "measured": found.value if row.note else found.mine.median,
        "measured_unit": row.unit,
        "runs": found.mine.values,
        "notes": found.mine.note(),
        "why": found.mine.why,
        "short": short,
        "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
    }
    if beside is not None and found.beside is not None:
        said["beside"] = {
            "what": beside.what,
            "value": found.beside.median,
            "runs": found.beside.values,
            "notes": found.beside.note(),
            "why": found.beside.why,
        }
    return said


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
