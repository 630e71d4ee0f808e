"""hub add, hub replace, authority rotate, export, import: what needs the recovery file."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from kos_edge.cli.face import Face, common, pass_face
from kos_edge.control.reports import AuthorityReport, InitReport
from kos_edge.errors import Invalid

_FILE = click.Path(dir_okay=False, path_type=Path)

recovery = click.option(
    "--recovery", type=_FILE, required=True, metavar="FILE", help="The mesh's recovery file."
)
secret = click.option(
    "--passphrase-file",
    type=click.File("r"),
    help="The passphrase of the recovery file; without it, it is asked for.",
)


@click.group()
@common
def hub() -> None:
    """Make another hub of this mesh, or one in the place of a hub that is gone. It needs the recovery file."""


@hub.command()
@click.argument("name")
@recovery
@secret
@common
@pass_face
def add(face: Face, name: str, recovery: Path, passphrase_file: TextIO | None) -> None:
    """Make a second hub, called NAME, on this machine."""
    _made(face, _make(face, name, recovery, passphrase_file))


@hub.command()
@click.argument("name")
@recovery
@secret
@click.option(
    "--stolen",
    metavar="KID",
    help="The old hub's key may be in other hands: revoke it. Whom it admitted has to be admitted anew.",
)
@common
@pass_face
def replace(
    face: Face, name: str, recovery: Path, passphrase_file: TextIO | None, stolen: str | None
) -> None:
    """Make a hub on this machine in the place of the hub called NAME, whose card is dead.

    The members go on, and what they still hold comes here; none has to be visited.
    """
    _made(face, _make(face, name, recovery, passphrase_file, replaces=True, stolen=stolen))


@click.group()
@common
def authority() -> None:
    """Move or change the authority's key, from its recovery file."""


@authority.command()
@secret
@common
@pass_face
def rotate(face: Face, passphrase_file: TextIO | None) -> None:
    """Make a new authority key, signed by the present one, in the recovery file of this hub (import puts one there)."""
    from kos_edge.node.authority import rotate as make_next

    report = make_next(face.state, _passphrase(passphrase_file))
    text = f"the authority has a new key, number {report['rotations']}: {report['kid']}\n"
    text += f"  recovery    {report['recovery']}: move it off this machine; the one before is beside it\n"
    text += "  the old key stays good: keep its file as safe as before, or destroy it once this one is safe"
    face.answer(report, text)


@authority.command()
@click.argument("target", type=_FILE)
@click.option("--remove", is_flag=True, help="Remove it from this machine once the copy is safe.")
@secret
@common
@pass_face
def export(face: Face, target: Path, remove: bool, passphrase_file: TextIO | None) -> None:
    """Copy this hub's recovery file to TARGET, having opened it once."""
    from kos_edge.node.authority import export as copy

    report = copy(face.state, target, _passphrase(passphrase_file), remove=remove)
    face.answer(
        report, f"the recovery file is in {_where(report)}" + ("; not here any more" if remove else "")
    )


@authority.command("import")
@click.argument("source", type=_FILE)
@secret
@common
@pass_face
def bring(face: Face, source: Path, passphrase_file: TextIO | None) -> None:
    """Put a recovery file into this hub's state, to rotate the authority here."""
    from kos_edge.node.authority import bring as put

    report = put(face.state, source, _passphrase(passphrase_file))
    face.answer(report, f"the recovery file is in {_where(report)}")


def _make(
    face: Face,
    name: str,
    recovery: Path,
    passphrase_file: TextIO | None,
    *,
    replaces: bool = False,
    stolen: str | None = None,
) -> InitReport:
    from kos_edge.node.authority import make_hub, read_recovery

    data = read_recovery(recovery)
    return make_hub(face.state, name, data, _passphrase(passphrase_file), replaces=replaces, stolen=stolen)


def _made(face: Face, made: InitReport) -> None:
    lines = [
        f"{made['name']}: a new hub of mesh {(made['mesh'] or '')[:8]} in {made['state']}",
        f"  kid         {made['kid']}",
        f"  words       {made['words']}",
        f"next: {face.command('run')}",
    ]
    face.answer(made, "\n".join(lines))


def _passphrase(file: TextIO | None) -> str:
    if file is None:
        text = click.prompt("passphrase of the recovery file", hide_input=True, err=True)
    else:
        text = file.readline().rstrip("\n")
    if not text:
        raise Invalid("the passphrase is empty", hint="its file holds it on the first line")
    return str(text)


def _where(report: AuthorityReport) -> str:
    return report["recovery"]
