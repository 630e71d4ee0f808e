"""queue, queue dead, retry, export, import: what this node owes others, what was refused, and both in files."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import click

from kos_edge.cli.carry import export_, import_
from kos_edge.cli.face import Face, common, pass_face
from kos_edge.cli.forecast import forecast_text
from kos_edge.cli.looking import queue_text
from kos_edge.cli.reach import ask, reach
from kos_edge.cli.show import age, columns, counted, local_time, plain_value, size
from kos_edge.control.reports import DeadLetter


@click.group(invoke_without_command=True)
@common
@click.pass_context
def queue(context: click.Context) -> None:
    """What this node still owes others, by audience and class. GONE: dropped or expired, a tombstone is on its way."""
    if context.invoked_subcommand is not None:
        return
    face = context.ensure_object(Face)
    report = ask(face, lambda node: node.queue())
    now = time.time()
    rows = [
        (
            lane["audience"],
            lane["priority"],
            "durable" if lane["durable"] else "volatile",
            lane["order"],
            f"{lane['messages']:,}",
            f"{lane['dropped'] + lane['expired']:,}",
            size(lane["bytes"]),
            age(lane["oldest_at"], now),
        )
        for lane in report["lanes"]
    ]
    text = queue_text(report, now)
    if rows:
        header = ("FOR", "PRIORITY", "KEPT", "ORDER", "MESSAGES", "GONE", "SIZE", "OLDEST")
        text += "\n" + columns(rows, header) + "\n" + forecast_text(report["forecast"])
    face.answer(report, text)


@queue.command()
@common
@pass_face
def dead(face: Face) -> None:
    """Messages that were refused or broke their handler, oldest first, with the reason."""
    letters, gone = asyncio.run(_letters(face))
    rows = [
        (
            each["id"],
            each["topic"],
            local_time(each["died_at"]),
            str(each["attempts"]),
            each["reason"],
            plain_value(each["body"])[:60],
        )
        for each in letters
    ]
    header = ("ID", "TOPIC", "SINCE", "TRIED", "REASON", "BODY")
    text = columns(rows, header) if rows else "there are no dead letters"
    if gone:
        text += f"\n{counted(gone, 'older dead letter')} had to go for newer ones"
    face.answer(letters, text)


@queue.command()
@click.argument("id")
@common
@pass_face
def retry(face: Face, id: str) -> None:
    """Put a dead letter back in the queue."""
    report = ask(face, lambda node: node.queue_retry(id=id))
    face.answer(report, f"{report['id']} is in the queue again")


queue.add_command(export_)
queue.add_command(import_)


async def _letters(face: Face) -> tuple[list[DeadLetter], int]:
    """What is kept, and how many had to go."""
    async with reach(face) as node, aclosing(node.queue_dead()) as letters:
        return [each async for each in letters], (await node.queue())["dead_dropped"]
