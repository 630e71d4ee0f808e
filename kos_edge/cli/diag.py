"""diag, diag verify: a diagnosis for somebody far away, signed and without secrets."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from pathlib import Path

import click

from kos_edge.cli.face import Face, common, pass_face
from kos_edge.cli.show import size
from kos_edge.cli.whole_file import WholeFile
from kos_edge.doctor.bundle import MAX_BUNDLE, pack, verify
from kos_edge.doctor.diagnosis import collect
from kos_edge.doctor.patient import Patient
from kos_edge.errors import Invalid, Unavailable


@click.command()
@click.argument("words", nargs=-1, metavar="[FILE] | verify FILE")
@common
@pass_face
def diag(face: Face, words: tuple[str, ...]) -> None:
    """Write a diagnosis of this node into FILE, to be sent to whoever helps; `verify FILE` says who made one.

    In it are versions, configuration, status, findings, sizes, mounts, interfaces and the last lines of the log; no
    keys, secrets, tokens, agents or messages. It works with a dead daemon and a damaged store. Look into it before you
    send it.
    """
    match words:
        case ("verify", name):
            _verify(face, Path(name))
        case ():
            _write(face, Path(time.strftime("kos-edge-diag-%Y%m%dT%H%M%S.tar.gz")))
        case (name,) if name != "verify":
            _write(face, Path(name))
        case _:
            raise click.UsageError("give a FILE, or verify FILE")


def _write(face: Face, path: Path) -> None:
    patient = Patient(face.state)
    asyncio.run(patient.ask())
    files, key = collect(patient)
    data = pack(files, key, int(patient.wall()))
    with WholeFile(path) as file:
        file.write(data)
    signed = "signed with this node's key" if key is not None else "not signed: the key cannot be read"
    report = {"file": str(path), "bytes": len(data), "files": sorted(files), "signed": key is not None}
    face.answer(report, f"{path} ({size(len(data))}), {signed}; what could not be had stands in missing.json")


def _verify(face: Face, path: Path) -> None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BUNDLE + 1)
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror or error}") from None
    try:
        found = verify(data)
    except Invalid as error:
        raise Invalid(f"{path}: {error.message}", hint="ask for it again: kos-edge diag") from None
    face.answer(asdict(found), f"{path}: whole, signed by {found.kid}\n  public key  {found.public}")
