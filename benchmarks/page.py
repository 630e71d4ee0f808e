"""The figures in `docs/performance.md`: its table and its charts, from what `build/bench.json` says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.chart import MISSED, OTHERS, OURS, Bar, bars

BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"
SHOWN_MOST = 3.0  # times its goal: a longer bar says no more and makes the others short


def update(docs: Path, report: dict[str, Any]) -> None:
    """Write the table into the page, and the charts beside it."""
    page = docs / "performance.md"
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{figures(report)}\n{END}{after}")
    folder = docs / "performance"
    folder.mkdir(exist_ok=True)
    (folder / "readings.svg").write_text(readings(report["rows"]))
    (folder / "goals.svg").write_text(goals(report["rows"]))


def figures(report: dict[str, Any]) -> str:
    """The machine, the versions and the table, in Markdown."""
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    lines = [
        f"Measured on {machine['cores']} cores of {machine['processor']}, {machine['memory_mb']:,} MB,"
        f" {machine['system']}, Python {machine['python']}, SQLite {machine['sqlite']}; {versions}."
        f" The load was {machine['load']}.",
        *_caution(report["rows"], machine),
        "",
        "| row | what | measured | beside it | goal | value | holds |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        beside = row.get("beside")
        other = "" if beside is None else f"{_number(beside['value'])} ({beside['what']})"
        goal = f"at {'most' if row['at_most'] else 'least'} {row['goal']:,g} {row['unit']}"
        holds = {None: f"not measured: {row['why']}", True: "yes", False: "**no**"}[row["holds"]]
        lines.append(
            f"| `{row['name']}` | {row['what']} | {_number(row['measured'])} {row['measured_unit']}"
            f" | {other} | {goal} | {_number(row['value'])} | {holds} |"
        )
    return "\n".join([*lines, ""])


def _caution(rows: list[dict[str, Any]], machine: dict[str, Any]) -> list[str]:
    """What a reader has to know before believing the figures."""
    said = []
    if any(row["short"] for row in rows):
        said.append(
            "**These are of a short run: one round of some seconds each. They show what is measured, no more.**"
        )
    if machine["load"] > machine["cores"] / 2:
        said.append("**Others were using the processor: ratios of what waits for it say little.**")
    return said


def readings(rows: list[dict[str, Any]]) -> str:
    """Readings a second, ours and those of the brokers."""
    found: dict[str, Bar] = {}
    names = {"packs": "kos-edge, packs, synced", "single": "kos-edge, one a pack", "udp": "kos-edge, UDP"}
    others = {
        "packs": "JetStream, publish",
        "packs-async": "JetStream, publish_async",
        "packs-mqtt": "mosquitto, QoS 1",
    }
    for row in rows:
        if row["name"] in names and row["measured"]:
            found[names[row["name"]]] = _bar(names[row["name"]], row["measured"], OURS)
        if row["name"] in others and row.get("beside") and row["beside"]["value"]:
            found[others[row["name"]]] = _bar(others[row["name"]], row["beside"]["value"], OTHERS)
    return bars("Readings a second, one device", sorted(found.values(), key=lambda bar: -bar.length))


def goals(rows: list[dict[str, Any]]) -> str:
    """How far each row is from its goal: 1 is the goal, and more is better."""
    drawn = []
    for row in rows:
        if row["value"]:
            times = row["goal"] / row["value"] if row["at_most"] else row["value"] / row["goal"]
            colour = OURS if row["holds"] else MISSED
            figure = f"{_number(row['value'])} {row['unit']}"
            drawn.append(Bar(row["name"], min(times, SHOWN_MOST), figure, colour))
    return bars("Each row beside its goal", drawn, line_at=1.0, line_says="goal")


def _bar(name: str, value: float, colour: str) -> Bar:
    return Bar(name, value, f"{value:,.0f}", colour)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
