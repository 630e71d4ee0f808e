"""publish: one value, or a value a line from standard input, each told by its id once it is on disk."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import BinaryIO

import click

from kos_edge.cli.face import Face, Progress, common, pass_face
from kos_edge.cli.parameters import duration
from kos_edge.cli.reach import reach
from kos_edge.control.protocol import Operations
from kos_edge.control.reports import Json
from kos_edge.control.text import json_line
from kos_edge.control.wire import decode, error_from
from kos_edge.errors import Invalid, KosError, Unavailable, Unknown

LINE_LIMIT = 512 * 1024
"""Bytes of one line: eight times the largest message, for JSON that is longer than its CBOR."""

BATCH_VALUES = 1000
BATCH_BYTES = 512 * 1024
"""One request's values and bytes at most: half of what the control socket takes, for quoting."""

_CHUNK = 64 * 1024


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("topic")
@click.argument("value", metavar="[JSON]", required=False)
@click.option("--unit", help="The unit of a number, as SenML has it: Cel, %RH, W.")
@click.option("--ttl", type=duration, metavar="TIME", help="Worth delivering for so long, such as 10m.")
@common
@pass_face
def publish(face: Face, topic: str, value: str | None, unit: str | None, ttl: float | None) -> None:
    """Publish a value, or without one a JSON value a line from standard input.

    Prints an id for each once it is on disk here. Text is JSON as well: '"on"'.
    """
    if value is not None and value.startswith("--"):
        raise click.NoSuchOption(value)
    given = None if value is None else _value(value)
    publishing = _Publishing(face, topic, unit, ttl)
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        node = runner.run(stack.enter_async_context(reach(face)))
        try:
            if value is not None:
                runner.run(publishing.hand_over(node, [_Line(None, given)]))
            else:
                # Reading blocks, and may: between two batches there is nothing else to do.
                for batch in batches(sys.stdin.buffer):
                    runner.run(publishing.hand_over(node, batch.lines))
                    if batch.fault is not None:
                        raise publishing.told(batch.fault, batch.fault_line)
        finally:
            publishing.progress.done()
            runner.run(stack.aclose())


@dataclass(frozen=True, slots=True)
class _Line:
    """A value and the number of its line; None where it came as an argument."""

    number: int | None
    value: Json
    size: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Values for one request, and the fault of the line after them, if that ends it all."""

    lines: list[_Line]
    fault: KosError | None = None
    fault_line: int | None = None


class _Publishing:
    def __init__(self, face: Face, topic: str, unit: str | None, ttl_s: float | None) -> None:
        self.progress = Progress(face)
        self._face = face
        self._topic = topic
        self._unit = unit
        self._ttl_s = ttl_s
        self._accepted = 0

    async def hand_over(self, node: Operations, lines: list[_Line]) -> None:
        """Publish and print the ids. Raises with the line's number for the first value that is refused."""
        if not lines:
            return
        values = [line.value for line in lines]
        try:
            report = await node.publish(topic=self._topic, values=values, unit=self._unit, ttl_s=self._ttl_s)
        except Unknown as error:
            raise self._unknown(error, lines) from None
        except Unavailable as error:  # the daemon has gone between two batches
            raise self.told(error, lines[0].number) from None
        for id in report["ids"]:
            click.echo(json_line({"id": id}) if self._face.json else id)
        sys.stdout.flush()
        self._accepted += len(report["ids"])
        self.progress.say(f"{self._accepted:,} published")
        if report["failure"] is not None:
            raise self.told(error_from(report["failure"]), lines[len(report["ids"])].number)

    def told(self, error: KosError, number: int | None) -> KosError:
        """The error with its line and with how many values were accepted before it."""
        if number is None:
            return error
        message = f"line {number}: {error.message} ({self._accepted:,} accepted before it)"
        return type(error)(message, hint=error.hint)

    def _unknown(self, error: Unknown, lines: list[_Line]) -> Unknown:
        first, last = lines[0].number, lines[-1].number
        if first is None:
            return error
        message = f"{error.message}: lines {first} to {last} may be published or not"
        return Unknown(f"{message} ({self._accepted:,} accepted before them)", hint=error.hint)


def batches(source: BinaryIO) -> Iterator[Batch]:
    """The JSON values of a stream, a line each, in the batches in which they come: none waits for the next.

    Blank lines are passed over. A line that is no value ends it, as the fault of its batch.
    """
    rest = b""
    number = 0
    ended = False
    while not ended:
        chunk = source.read1(_CHUNK)  # type: ignore[attr-defined]
        ended = not chunk
        *whole, rest = (rest + chunk).split(b"\n")
        if ended:
            whole, rest = [rest], b""
        lines: list[_Line] = []
        size = 0
        for text in whole:
            number += 1
            if not text.strip():
                continue
            try:
                line = _Line(number, _line_value(text), len(text))
            except Invalid as error:
                yield Batch(lines, error, number)
                return
            if lines and (len(lines) == BATCH_VALUES or size + line.size > BATCH_BYTES):
                yield Batch(lines)
                lines, size = [], 0
            lines.append(line)
            size += line.size
        if len(rest) > LINE_LIMIT:
            yield Batch(lines, Invalid(f"longer than {LINE_LIMIT:,} bytes"), number + 1)
            return
        if lines:
            yield Batch(lines)


def _line_value(text: bytes) -> Json:
    if len(text) > LINE_LIMIT:
        raise Invalid(f"longer than {LINE_LIMIT:,} bytes")
    try:
        return decode(text)
    except Invalid as error:
        raise Invalid(
            error.message, hint="""a JSON value a line, such as 21.5 or "on" or {"t": 21.5}"""
        ) from None


def _value(text: str) -> Json:
    try:
        return decode(text)
    except Invalid as error:
        structured = text.lstrip()[:1] in ("{", "[", '"')
        hint = (
            """such as '{"temperature": 21.5}'"""
            if structured
            else f"text stands in quotes: '\"{text[:40]}\"'"
        )
        raise Invalid(f"the value {text[:40]!r} is {error.message}", hint=hint) from None
