"""tail: messages as they come, as JSON lines."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import click

from kos_edge.cli.face import Face, common, pass_face
from kos_edge.cli.parameters import seconds
from kos_edge.cli.reach import reach
from kos_edge.control.reports import Delivered
from kos_edge.control.text import json_line
from kos_edge.errors import Unavailable, Unknown

TOMBSTONE = "tombstone"


@click.command()
@click.argument("filter", default="#")
@click.option("--from-start", is_flag=True, help="Begin with the oldest message kept.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N messages.")
@click.option("--timeout", type=seconds, metavar="S", help="End after S seconds.")
@common
@pass_face
def tail(face: Face, filter: str, from_start: bool, count: int | None, timeout: float | None) -> None:
    """Messages on topics that fit FILTER (all), a JSON object a line, as they come.

    Each has id, source, name, topic, seq, at, type and body. One of the type tombstone says of a run of numbers that
    it will never come, and why; it is shown with every FILTER and not counted. With --count and --timeout,
    exits with 75 where fewer came in time. Without a daemon, --from-start shows what is kept.
    """
    came = 0

    async def go() -> None:
        nonlocal came
        async with reach(face, offline=from_start) as node:
            stream = node.tail(filter=filter, from_start=from_start)
            async with aclosing(stream) as messages:
                async for message in messages:
                    print_message(message)
                    came += message["type"] != TOMBSTONE
                    if came == count:
                        return
        if count is not None:
            raise Unavailable(
                f"{came} of {count} messages are kept, and no daemon runs that others could come to",
                hint=f"start it: {face.command('run')}",
            )

    async def go_in_time() -> None:
        async with asyncio.timeout(timeout):
            await go()

    try:
        asyncio.run(go_in_time())
    except TimeoutError:
        if count is not None:
            raise Unknown(f"{came} of {count} messages came within {timeout:g} s") from None


def print_message(message: Delivered) -> None:
    """One JSON line, seen at once."""
    click.echo(json_line(message))
