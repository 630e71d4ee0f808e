"""backup, restore: a node in one encrypted file."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from kos_edge.cli.face import Face, common, pass_face
from kos_edge.cli.show import size
from kos_edge.cli.whole_file import WholeFile
from kos_edge.errors import Invalid, Unavailable
from kos_edge.node import backup as backups
from kos_edge.vault.stream import WrongPassphrase

secret = click.option(
    "--passphrase-file",
    type=click.File("r"),
    help="The passphrase, on the first line; without it, it is asked for.",
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@secret
@common
@pass_face
def backup(face: Face, file: Path, passphrase_file: TextIO | None) -> None:
    """Write this node into FILE, encrypted: key, queue, journal, vault, configuration. A daemon goes on meanwhile."""
    passphrase = _passphrase(passphrase_file, confirm=True)
    with WholeFile(file) as target:
        made = backups.backup(face.state, target, passphrase)
    report = {"file": str(file), "kid": made.kid, "files": made.files, "bytes": target.size}
    face.answer(
        report, f"{made.files} files of {made.kid} are in {file} ({size(target.size)}), under the passphrase"
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--replace", is_flag=True, help="Where there is a node: put it aside, and this one in its place."
)
@secret
@common
@pass_face
def restore(face: Face, file: Path, replace: bool, passphrase_file: TextIO | None) -> None:
    """Make the node in FILE again, in an empty state directory. The daemon must not run, here or anywhere else."""
    passphrase = _passphrase(passphrase_file, confirm=False)
    try:
        with file.open("rb") as source:
            done = backups.restore(face.state, source, passphrase, replace=replace)
    except OSError as error:
        raise Unavailable(f"cannot read {file}: {error.strerror or error}") from None
    except (Invalid, WrongPassphrase) as error:
        raise type(error)(f"{file}: {error.message}", hint=error.hint) from None
    report = {
        "state": str(face.state),
        "kid": done.kid,
        "name": done.name,
        "files": done.files,
        "aside": done.aside,
        "kept": list(done.kept),
    }
    lines = [f"{done.name or done.kid} is in {face.state} as it was when the backup was made"]
    lines += [f"what was there before is in {done.aside}"] if done.aside else []
    lines += [f"left as it is: {name}" for name in done.kept]
    lines.append(
        "the device that it was made on must not run any more; if its key may be in other hands: kos-edge rekey"
    )
    face.answer(report, "\n".join(lines))


def _passphrase(file: TextIO | None, *, confirm: bool) -> str:
    if file is not None:
        return file.readline().rstrip("\r\n")
    text: str = click.prompt(
        "passphrase of the backup", hide_input=True, confirmation_prompt=confirm, err=True
    )
    return text
