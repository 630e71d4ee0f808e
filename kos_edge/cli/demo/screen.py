"""What a person sees: lines of what happens, and below them, on a terminal, how the nodes are."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from kos_edge.cli.demo.play import Record

LINE_EVERY_S = 5.0  # without a terminal, a line of figures so often


class Screen:
    """Says what happens. `quiet` says it on standard error, so that standard output stays JSON."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(file=sys.stderr if quiet else sys.stdout, highlight=False)
        self._began = time.monotonic()
        self._line_at = 0.0
        self._live: Live | None = None
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()

    def say(self, text: str) -> None:
        """Something happens."""
        self._console.print(f"{time.monotonic() - self._began:5.1f} s  {text}", soft_wrap=True)

    def blow(self, text: str) -> None:
        """Something is broken on purpose."""
        self._console.print(f"{time.monotonic() - self._began:5.1f} s  [bold red]{text}[/]", soft_wrap=True)

    def show(self, record: Record, nodes: tuple[str, ...]) -> None:
        """How the nodes are now."""
        if self._live is not None:
            self._live.update(_table(record, nodes))
        elif time.monotonic() - self._line_at > LINE_EVERY_S:
            self._line_at = time.monotonic()
            self.say(", ".join(_line(name, record) for name in nodes))

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def _table(record: Record, nodes: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for head in ("node", "accepted", "at the hub", "in the queue", "link"):
        table.add_column(head, justify="left" if head in ("node", "link") else "right")
    for name in nodes:
        status = record.now.get(name)
        hub = name == nodes[0]
        accepted = "" if hub else f"{record.total(name, 'accepted'):,}"
        arrived = f"{record.total(name, 'received'):,}" if hub else f"{record.total(name, 'settled'):,}"
        waiting = "" if hub or status is None else f"{status['queue']['messages']:,}"
        table.add_row(name, accepted, arrived, waiting, _link(status))
    return table


def _link(status: dict[str, Any] | None) -> str:
    if status is None:
        return "[bold red]no answer[/]"
    count = status["peers_connected"]
    return f"{count} connected" if count else "[yellow]alone[/]"


def _line(name: str, record: Record) -> str:
    status = record.now.get(name)
    if status is None:
        return f"{name}: no answer"
    waiting = status["queue"]["messages"]
    return (
        f"{name}: {record.total(name, 'received'):,} received"
        if status["role"] == "hub"
        else f"{name}: {waiting:,} waiting"
    )
