"""queue, queue dead, retry, export, import: what this node owes others, what was refused, and both in files."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import click

from kos_edge.cli.carry import export_, import_
from kos_edge.cli.face import Face, Progress, common, pass_face
from kos_edge.cli.forecast import forecast_text
from kos_edge.cli.looking import queue_text
from kos_edge.cli.reach import ask, reach
from kos_edge.cli.show import age, columns, counted, local_time, plain_value, size
from kos_edge.control.letter_reports import DeadLetter, RetriedPart
from kos_edge.control.wire import error_from


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
            local_time(each["at"]),
            local_time(each["died_at"]),
            str(each["attempts"]),
            each["reason"],
            plain_value(each["body"])[:60],
        )
        for each in letters
    ]
    header = ("ID", "TOPIC", "FROM", "SINCE", "TRIED", "REASON", "BODY")
    text = columns(rows, header) if rows else "there are no dead letters"
    if gone:
        text += f"\n{counted(gone, 'older dead letter')} had to go for newer ones"
    face.answer(letters, text)


@queue.command()
@click.argument("id", required=False)
@click.option(
    "--all", "everything", is_flag=True, help="All of them, in order, as far as the queue has room."
)
@click.option("--topic", metavar="FILTER", help="With --all: only those on topics that match.")
@common
@pass_face
def retry(face: Face, id: str | None, everything: bool, topic: str | None) -> None:
    """Put the dead letter ID back in the queue, or all of them; with the time that they had.

    Nothing is pushed out of the queue for them. One whose ttl is over stays a dead letter.
    """
    if (id is None) != everything or (topic is not None and not everything):
        raise click.UsageError("one of ID and --all [--topic FILTER] is needed")
    if id is not None:
        report = ask(face, lambda node: node.queue_retry(id=id))
        face.answer(report, f"{report['id']} is in the queue again")
        return
    part = asyncio.run(_retry_all(face, topic or "#"))
    text = f"{counted(part['retried'], 'message')} {_are(part['retried'])} in the queue again"
    for count, why in ((part["expired"], "its ttl is over"), (part["damaged"], "damaged")):
        if count:
            text += f"; {counted(count, 'dead letter')} {'stays' if count == 1 else 'stay'}: {why}"
    face.answer(part, text)
    if part["failure"] is not None:
        error = error_from(part["failure"])
        raise type(error)(
            f"the others stay dead letters: {error.message}", hint=error.hint or "later: the same again"
        )


queue.add_command(export_)
queue.add_command(import_)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


async def _retry_all(face: Face, topic: str) -> RetriedPart:
    """The last word of how far it came."""
    progress = Progress(face)
    last = RetriedPart(retried=0, expired=0, damaged=0, failure=None)
    async with reach(face) as node:
        of = (await node.queue())["dead"]
        async with aclosing(node.queue_retry_all(topic=topic)) as parts:
            async for part in parts:
                last = part
                progress.say(f"{part['retried']:,} of {of:,} dead letters")
    progress.done()
    return last


async def _letters(face: Face) -> tuple[list[DeadLetter], int]:
    """What is kept, and how many had to go."""
    async with reach(face) as node, aclosing(node.queue_dead()) as letters:
        return [each async for each in letters], (await node.queue())["dead_dropped"]
