"""queue export, queue import: the queue on a stick, and the receipts back."""

from __future__ import annotations

import asyncio
import os
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, cast

import click

from kos_edge.cli.face import Face, Progress, common, pass_face
from kos_edge.cli.reach import reach
from kos_edge.cli.show import counted, size
from kos_edge.cli.whole_file import WholeFile
from kos_edge.control.protocol import Operations
from kos_edge.delivery.carried import FIRST_LINE, Carried, Damaged, Kind, Unframer, framed, read_record
from kos_edge.errors import Invalid, KosError, Refused, Unavailable

READ_BYTES = 262_144
"""Of a file in one go, and so of records in one request: with their base64 a third of what a request may have."""

SPOOL_BYTES = 1 << 20
"""Receipts that are kept in memory until they are written; more of them wait on the disk."""

MOST_OFFERS = 4
"""Statements of what a file offers, which are asked about at its end; an export writes one."""

_SAID = {
    "gone": "dropped or expired at their source",
    "refused": "refused, as their source will hear",
    "duplicates": "packs held already",
    "for_others": "packs for others",
    "unknown": "packs of unknown sources",
    "quarantined": "packs of sources in quarantine",
    "invalid": "packs that break a rule",
    "not_now": "packs too far ahead of what is missing",
}
_COUNTS = ("messages", *_SAID, "settled")


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--audience", metavar="WHO", help="Only what is for this role, group or member; all by default."
)
@common
@pass_face
def export_(face: Face, file: Path, audience: str | None) -> None:
    """Write what waits in the queue to FILE, to carry it to whom it is for: kos-edge queue import, there.

    The queue keeps everything until receipts come back. A FILE that is there is replaced when the new one is whole.
    """
    asyncio.run(_export(face, file, audience))


async def _export(face: Face, path: Path, audience: str | None) -> None:
    progress = Progress(face)
    messages = left_out = 0
    async with reach(face) as node, aclosing(node.queue_export(audience=audience)) as parts:
        with WholeFile(path) as file:
            async for part in parts:
                file.write(b64decode(part["base64"]))
                messages, left_out = part["messages"], part["left_out"]
                progress.say(f"{messages:,} of {part['of']:,} messages, {size(file.size)}")
    progress.done()
    report = {"file": str(path), "messages": messages, "bytes": file.size, "left_out": left_out}
    text = f"{counted(messages, 'message')} in {path} ({size(file.size)})"
    kept = "; the queue keeps them until receipts come back"
    text = text + kept if messages or left_out else f"nothing waits in the queue; {path} says so"
    if left_out:
        text += f"\n{counted(left_out, 'message')} more wait: export once more when the receipts are back"
    face.answer(report, text)


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--receipts",
    type=click.Path(path_type=Path),
    help="Where to write the receipts; FILE.receipts by default. With one FILE only.",
)
@common
@pass_face
def import_(face: Face, files: tuple[Path, ...], receipts: Path | None) -> None:
    """Take in each FILE that was written by queue export, or the receipts for one; each message counts once.

    Receipts are written beside a FILE of messages, and belong back to where it came from: kos-edge queue import, there.
    A FILE may be imported again at any time, and has to be where it was cut short.
    """
    if receipts is not None and len(files) > 1:
        raise click.UsageError("--receipts goes with one FILE")
    imports = asyncio.run(_imports(face, files, receipts))
    if face.json:
        reports = [each.report for each in imports]
        face.answer(reports[0] if len(files) == 1 else reports, "")
    else:
        click.echo("".join(f"{each.text}\n" for each in imports if each.has_something), nl=False)
    for each in imports:
        if each.trouble is not None:
            raise each.trouble


async def _imports(face: Face, files: tuple[Path, ...], receipts: Path | None) -> list[_Import]:
    progress = Progress(face)
    done = []
    async with reach(face) as node:
        for path in files:
            one = _Import(path)
            await one.go(node, receipts or path.with_name(f"{path.name}.receipts"), progress)
            progress.done()
            done.append(one)
    return done


class _Import:
    """One file on its way into a node."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.carrier: str | None = None
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.ended = False
        self.failure: KosError | None = None
        self.receipts: Path | None = None
        self._offers: list[bytes] = []

    async def go(self, node: Operations, receipts: Path, progress: Progress) -> None:
        """Hand all of it over, and write down what comes back. What goes wrong is kept in `failure`."""
        with SpooledTemporaryFile(max_size=SPOOL_BYTES) as said:
            try:
                for records, at, of in self._pieces():
                    said.write(await self._hand_over(node, records))
                    progress.say(f"{size(at)} of {size(of)}, {self.counts['messages']:,} new messages")
                if self._offers and not self.ended:
                    raise Damaged("it ends early")
            except KosError as error:
                self.failure = error
            except OSError as error:
                self.failure = Unavailable(f"cannot be read: {error.strerror or error}")
            async for held in self._held(node):
                said.write(held)
            if said.tell():
                said.seek(0)
                self._write(receipts, said)

    def _pieces(self) -> Iterator[tuple[list[bytes], int, int]]:
        """Some whole records at a time, how many bytes came before, and of how many. Raises OSError, Damaged."""
        unframer = Unframer()
        with self.path.open("rb") as file:
            of = os.fstat(file.fileno()).st_size
            while data := file.read(READ_BYTES):
                records: list[bytes] = []
                damage: Damaged | None = None
                try:
                    for record in unframer.receive(data):
                        records.append(record)
                except Damaged as error:
                    damage = error
                if records:  # what is whole before the damage counts
                    yield records, unframer.offset, of
                if self.ended:  # whatever follows the end
                    return
                if damage is not None:
                    raise damage
        unframer.close()

    async def _hand_over(self, node: Operations, records: list[bytes]) -> bytes:
        """The receipts that cannot wait, for they have refusals, and those for offers."""
        offers = [record for record in records if _is_offers(record)]
        self._offers = (self._offers + offers)[-MOST_OFFERS:]
        report = await node.queue_import(base64=_base64(records))
        for name, value in report.items():
            if name in self.counts:
                self.counts[name] += int(cast(int, value))
        self.carrier = report["carrier"] or self.carrier
        self.ended = report["ended"] or self.ended
        return b64decode(report["receipts"])

    async def _held(self, node: Operations) -> AsyncIterator[bytes]:
        """What is held of all that was offered, now that it has been taken in: the offers say it again."""
        for offers in self._offers:
            try:
                report = await node.queue_import(base64=_base64([offers]))
            except KosError as error:
                self.failure = self.failure or error
                return
            yield b64decode(report["receipts"])

    def _write(self, path: Path, said: IO[bytes]) -> None:
        try:
            with WholeFile(path) as file:
                file.write(FIRST_LINE)
                while data := said.read(READ_BYTES):
                    file.write(data)
        except Unavailable as error:
            hint = "import it again with --receipts, somewhere else: nothing is taken twice"
            self.failure = self.failure or Unavailable(error.message, hint=hint)
        else:
            self.receipts = path

    # -- saying it

    @property
    def trouble(self) -> KosError | None:
        """What a person has to know, and do."""
        error, counts = self.failure, self.counts
        if error is not None:
            again = "what came before is kept; copy it or export it again, and import that"
            hint = error.hint or (again if isinstance(error, Damaged) else None)
            return type(error)(f"{self.path}: {error.message}", hint=hint)
        if counts["not_now"]:
            return Unavailable(
                f"not all of {self.path} could be taken now", hint="export and import once more"
            )
        if counts["for_others"] and not any(
            counts[name] for name in ("messages", "gone", "duplicates", "refused")
        ):
            hint = "kos-edge peers shows who is what; take it to whom it is for"
            return Refused(f"nothing in {self.path} is for this node", hint=hint)
        return None

    @property
    def report(self) -> dict[str, object]:
        """As JSON."""
        return {
            "file": str(self.path),
            "carrier": self.carrier,
            **self.counts,
            "receipts": None if self.receipts is None else str(self.receipts),
            "failure": None if self.trouble is None else self.trouble.message,
        }

    @property
    def has_something(self) -> bool:
        """Whether anything was read of it; else its trouble says all."""
        return self.failure is None or self.carrier is not None or any(self.counts.values())

    @property
    def text(self) -> str:
        """For people."""
        if self.carrier is None:
            return (
                f"{self.path}: {counted(self.counts['settled'], 'message')} of the queue settled by receipts"
            )
        said = [f"{counted(self.counts['messages'], 'new message')}"]
        said += [f"{self.counts[name]:,} {words}" for name, words in _SAID.items() if self.counts[name]]
        text = f"{self.path}, from {self.carrier}: {', '.join(said)}"
        return text + (f"\nreceipts, to be carried back: {self.receipts}" if self.receipts else "")


def _is_offers(record: bytes) -> bool:
    try:
        said = read_record(record)
    except Invalid:  # the node says what is wrong with it
        return False
    return isinstance(said, Carried) and said.kind is Kind.OFFERS


def _base64(records: list[bytes]) -> str:
    return b64encode(b"".join(map(framed, records))).decode()
