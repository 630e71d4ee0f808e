"""Charts as SVG, drawn by hand: bars with their names and figures, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, BAR, GAP, LEFT, RIGHT, TOP = 760, 20, 10, 270, 90, 46
INK, OURS, OTHERS, MISSED = "#57606a", "#1a7f64", "#8c959f", "#bc4c00"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its name, its length, the figure written behind it, and its colour."""

    name: str
    length: float
    figure: str
    colour: str


def bars(title: str, drawn: Sequence[Bar], *, line_at: float | None = None, line_says: str = "") -> str:
    """A chart of bars from the left; `line_at` draws a line across all of them at that length."""
    height = TOP + len(drawn) * (BAR + GAP) + GAP
    longest = max([bar.length for bar in drawn] + [line_at or 0.0]) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / longest
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' font-family="system-ui, sans-serif" font-size="13" fill="{INK}">',
        f"<title>{escape(title)}</title>",
        f'<text x="8" y="20" font-weight="bold">{escape(title)}</text>',
    ]
    for number, bar in enumerate(drawn):
        y = TOP + number * (BAR + GAP)
        width = max(1.0, bar.length * scale)
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{bar.colour}"/>',
            f'<text x="{LEFT + width + 6:.1f}" y="{y + 15}">{escape(bar.figure)}</text>',
        ]
    if line_at is not None:
        x = LEFT + line_at * scale
        parts += [
            f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - 4}" stroke="{INK}" stroke-dasharray="4 3"/>',
            f'<text x="{x:.1f}" y="{TOP - 12}" text-anchor="middle">{escape(line_says)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
