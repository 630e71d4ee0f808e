"""export: kept messages as CSV or JSON lines."""

from __future__ import annotations

import asyncio
import csv
import sys
from contextlib import aclosing

import click

from kos_edge.cli.face import Face, Progress, common, pass_face
from kos_edge.cli.parameters import moment
from kos_edge.cli.reach import reach
from kos_edge.cli.tail import print_message
from kos_edge.control.text import COLUMNS, cells


@click.command()
@click.option("--format", "form", type=click.Choice(("csv", "jsonl")), required=True, help="What to write.")
@click.option("--topic", default="#", metavar="FILTER", help="Only topics that fit; all by default.")
@click.option("--since", type=moment, metavar="TIME", help="From then on: 2026-01-31T12:00Z, or 1h ago.")
@click.option("--until", type=moment, metavar="TIME", help="Before then.")
@common
@pass_face
def export(face: Face, form: str, topic: str, since: float | None, until: float | None) -> None:
    """Write the messages kept here to standard output, the oldest first.

    A time is RFC 3339, a local date or time, or a duration such as 1h for an hour ago. With a bound, messages
    whose time is not known are left out.
    """
    asyncio.run(_export(face, form, topic, since, until))


async def _export(face: Face, form: str, topic: str, since: float | None, until: float | None) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n") if form == "csv" else None
    progress = Progress(face)
    count = 0
    async with reach(face) as node:
        if writer:
            writer.writerow(COLUMNS)
        async with aclosing(node.export(topic=topic, since=since, until=until)) as messages:
            async for message in messages:
                if writer:
                    writer.writerow(cells(message))
                else:
                    print_message(message)
                count += 1
                if not sys.stdout.isatty():
                    progress.say(f"{count:,} written")
    progress.done()
