"""watch: live values with their recent course."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import click

from kos_edge.cli.face import Face, common, pass_face
from kos_edge.cli.reach import reach
from kos_edge.cli.show import clean, plain_value, span, sparkline
from kos_edge.cli.tail import print_message
from kos_edge.control.reports import Delivered

COURSE = 60
"""Values of which a course is drawn."""

_REFRESH_S = 0.25


@click.command()
@click.argument("topic")
@common
@pass_face
def watch(face: Face, topic: str) -> None:
    """Live values of the topics that fit TOPIC, with a sparkline; JSON lines where this is no terminal."""
    shown = sys.stdout.isatty() and not face.json
    asyncio.run(_draw(face, topic) if shown else _lines(face, topic))


async def _lines(face: Face, topic: str) -> None:
    async with reach(face, offline=False) as node, aclosing(node.tail(filter=topic)) as messages:
        async for message in messages:
            print_message(message)


async def _draw(face: Face, topic: str) -> None:
    from rich.live import Live

    board = Board(topic)
    async with reach(face, offline=False) as node, aclosing(node.tail(filter=topic)) as messages:
        with Live(board.table(time.monotonic()), auto_refresh=False, transient=False) as live:

            async def refresh() -> None:
                while True:
                    live.update(board.table(time.monotonic()), refresh=True)
                    await asyncio.sleep(_REFRESH_S)

            async with asyncio.TaskGroup() as group:
                drawing = group.create_task(refresh())
                async for message in messages:
                    board.take(message, time.monotonic())
                drawing.cancel()


@dataclass(slots=True)
class _Row:
    latest: Delivered
    came: float
    count: int = 0
    course: deque[float] = field(default_factory=lambda: deque(maxlen=COURSE))


class Board:
    """The latest of each source and topic, and each field's recent course."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._rows: dict[tuple[str, str, str], _Row] = {}

    def take(self, message: Delivered, now: float) -> None:
        """Put a message on the board; an object of numbers takes a row for each of its fields. Not a tombstone."""
        topic, body = message["topic"], message["body"]
        if topic is None:
            return
        fields = body.items() if isinstance(body, dict) and body else [("", body)]
        for name, value in fields:
            row = self._rows.setdefault((topic, message["source"], name), _Row(message, now))
            row.latest, row.came = message, now
            row.count += 1
            if isinstance(value, int | float) and not isinstance(value, bool):
                row.course.append(value)

    def table(self, now: float) -> Any:
        """The board as rich draws it."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, header_style="dim", pad_edge=False)
        for title in ("topic", "from", "value", "course", "messages", "age"):
            table.add_column(title, justify="right" if title in ("value", "messages", "age") else "left")
        for (topic, source, name), row in sorted(self._rows.items()):
            message = row.latest
            unit = message.get("unit")
            body = message["body"][name] if name else message["body"]
            text = plain_value(body, unit.get(name) if isinstance(unit, dict) else unit)
            table.add_row(
                escape(clean(f"{topic} {name}".rstrip())),
                escape(clean(message["name"] or source[-12:])),
                escape(text[:40]),
                sparkline(row.course),
                f"{row.count:,}",
                span(now - row.came),
            )
        if not self._rows:
            table.add_row(f"waiting for {escape(self._topic)}")
        return table
