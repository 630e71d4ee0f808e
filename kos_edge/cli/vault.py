"""vault put, get, list, remove, verify, open, rotate, export, import: secrets that agents need, encrypted at rest."""

from __future__ import annotations

import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import click

from kos_edge.cli.face import Face, common, pass_face
from kos_edge.cli.reach import ask
from kos_edge.cli.show import columns, local_time, size
from kos_edge.control.reports import VaultReport
from kos_edge.errors import Invalid, Unavailable

_LIMIT = 1 << 20

secret_of = click.option(
    "--passphrase-file",
    type=click.File("r"),
    help="The passphrase of a vault that opens with one, on the first line.",
)


def passphrase_for(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option with the passphrase of an exported vault."""
    return click.option(
        "--export-passphrase-file",
        type=click.File("r"),
        help=f"The passphrase {what}, on the first line; without it, it is asked for.",
    )


@click.group()
@common
def vault() -> None:
    """Passwords and keys that agents need, encrypted on the disk. The configuration says which agent gets which."""


@vault.command()
@click.argument("name")
@click.option(
    "--file", "source", type=click.File("rb"), help="Read it from this file as it is (- for standard input)."
)
@secret_of
@common
@pass_face
def put(face: Face, name: str, source: BinaryIO | None, passphrase_file: TextIO | None) -> None:
    """Set the secret NAME: asked for at a terminal, read from standard input otherwise, its last newline left out."""
    if source is not None:
        secret = source.read(_LIMIT)
    else:
        asked = sys.stdin.isatty()
        text = click.prompt(name, hide_input=True, err=True) if asked else sys.stdin.read(_LIMIT)
        secret = text.removesuffix("\n").removesuffix("\r").encode()
    base64, passphrase = b64encode(secret).decode(), _first_line(passphrase_file)
    report = ask(face, lambda node: node.vault_put(name=name, base64=base64, passphrase=passphrase))
    face.answer(report, f"{name} is in the vault, which opens with {_opener(report)}{_nobody(report, name)}")


@vault.command()
@click.argument("name")
@secret_of
@common
@pass_face
def get(face: Face, name: str, passphrase_file: TextIO | None) -> None:
    """Print the secret NAME."""
    passphrase = _first_line(passphrase_file)
    value = ask(face, lambda node: node.vault_get(name=name, passphrase=passphrase))
    secret = b64decode(value["base64"])
    if face.json:
        face.answer(value, "")
        return
    sys.stdout.buffer.write(secret + b"\n" * sys.stdout.isatty())


@vault.command("list")
@secret_of
@common
@pass_face
def show(face: Face, passphrase_file: TextIO | None) -> None:
    """The secrets by name, and who may ask for them; not what they are."""
    passphrase = _first_line(passphrase_file)
    report = ask(face, lambda node: node.vault_list(passphrase=passphrase))
    rows = [
        (
            each["name"],
            size(each["bytes"]),
            local_time(each["changed_at"]) if each["changed_at"] else "-",
            ", ".join(each["agents"]) or "nobody",
        )
        for each in report["secrets"]
    ]
    text = columns(rows, ("NAME", "SIZE", "CHANGED", "AGENTS")) if rows else "the vault is empty"
    face.answer(report, text + (f"\nwarning: {report['trouble']}" if report["trouble"] else ""))


@vault.command()
@click.argument("name")
@secret_of
@common
@pass_face
def remove(face: Face, name: str, passphrase_file: TextIO | None) -> None:
    """Forget the secret NAME."""
    passphrase = _first_line(passphrase_file)
    report = ask(face, lambda node: node.vault_remove(name=name, passphrase=passphrase))
    face.answer(report, f"{name} is not in the vault any more")


@vault.command()
@secret_of
@common
@pass_face
def verify(face: Face, passphrase_file: TextIO | None) -> None:
    """Read the vault anew from the disk and check every secret."""
    passphrase = _first_line(passphrase_file)
    report = ask(face, lambda node: node.vault_verify(passphrase=passphrase))
    if report["trouble"]:
        raise Invalid(report["trouble"], hint="put a secret again, which writes the vault anew")
    face.answer(
        report, f"{len(report['secrets'])} secrets, all whole; the vault opens with {_opener(report)}"
    )


@vault.command("open")
@secret_of
@common
@pass_face
def unlock(face: Face, passphrase_file: TextIO | None) -> None:
    """Give a running daemon the passphrase of its vault; it keeps the vault open until it ends."""
    passphrase = _first_line(passphrase_file) or click.prompt(
        "passphrase of the vault", hide_input=True, err=True
    )
    report = ask(face, lambda node: node.vault_list(passphrase=passphrase), offline=False)
    face.answer(report, f"the vault is open: {len(report['secrets'])} secrets")


@vault.command()
@click.option(
    "--lock",
    type=click.Choice(["file", "credential", "passphrase"]),
    help="What it opens with from now on; without this, the same as now.",
)
@click.option(
    "--new-passphrase-file",
    type=click.File("r"),
    help="The new passphrase, on the first line; without it, it is asked for.",
)
@secret_of
@common
@pass_face
def rotate(
    face: Face, lock: str | None, new_passphrase_file: TextIO | None, passphrase_file: TextIO | None
) -> None:
    """Encrypt all secrets anew under new keys; the old ones open nothing any more."""
    passphrase = _first_line(passphrase_file)
    kind = lock or ask(face, lambda node: node.vault_list(passphrase=passphrase))["lock"]
    new = _passphrase(new_passphrase_file, "new passphrase", twice=True) if kind == "passphrase" else None
    report = ask(face, lambda node: node.vault_rotate(lock=lock, passphrase=passphrase, new_passphrase=new))
    face.answer(
        report, f"{len(report['secrets'])} secrets under new keys; the vault opens with {_opener(report)}"
    )


@vault.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@passphrase_for("that the copy opens with")
@secret_of
@common
@pass_face
def export(
    face: Face, target: Path, export_passphrase_file: TextIO | None, passphrase_file: TextIO | None
) -> None:
    """Write all secrets to TARGET, a vault under a passphrase: for another node, or for a safe."""
    from kos_edge.node.durable_file import write_durably

    if target.exists():
        raise Invalid(f"{target} exists already", hint="name another file")
    passphrase = _first_line(passphrase_file)
    new = _passphrase(export_passphrase_file, "passphrase of the copy", twice=True)
    copy = ask(face, lambda node: node.vault_export(new_passphrase=new, passphrase=passphrase))
    write_durably(target, b64decode(copy["base64"]))
    face.answer(
        {"file": str(target), "secrets": copy["secrets"]}, f"{copy['secrets']} secrets are in {target}"
    )


@vault.command("import")
@click.argument("source", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--replace", is_flag=True, help="Take those too that differ from a secret of the same name here."
)
@passphrase_for("of the exported vault")
@secret_of
@common
@pass_face
def bring(
    face: Face,
    source: Path,
    replace: bool,
    export_passphrase_file: TextIO | None,
    passphrase_file: TextIO | None,
) -> None:
    """Take over the secrets of an exported vault."""
    try:
        with source.open("rb") as file:
            data = file.read(_LIMIT)
    except OSError as error:
        raise Unavailable(f"cannot read {source}: {error.strerror}") from None
    theirs, passphrase = _passphrase(export_passphrase_file, "passphrase of the exported vault"), None
    passphrase, base64 = _first_line(passphrase_file), b64encode(data).decode()
    report = ask(
        face,
        lambda node: node.vault_import(
            base64=base64, its_passphrase=theirs, replace=replace, passphrase=passphrase
        ),
    )
    lines = [f"{name}: {_OUTCOMES[what]}" for name, what in report["outcome"].items()]
    face.answer(report, "\n".join(lines) or "there is nothing in it")


_OUTCOMES = {
    "added": "added",
    "replaced": "replaced",
    "same": "the same as here",
    "kept": "kept as it is here; --replace takes the other",
}


def _opener(report: VaultReport) -> str:
    return {
        "file": "a key file",
        "credential": "a credential of systemd",
        "passphrase": "a passphrase",
    }[report["lock"]]


def _nobody(report: VaultReport, name: str) -> str:
    agents = [agent for each in report["secrets"] if each["name"] == name for agent in each["agents"]]
    return (
        ""
        if agents
        else f'\n  next: name the agents that get it: [secret."{name}"] agents = ["…"] in config.toml'
    )


def _first_line(file: TextIO | None) -> str | None:
    return None if file is None else file.readline().rstrip("\r\n")


def _passphrase(file: TextIO | None, what: str, *, twice: bool = False) -> str:
    text = _first_line(file)
    if text is None:
        text = str(click.prompt(what, hide_input=True, confirmation_prompt=twice, err=True))
    if not text:
        raise Invalid(f"the {what} is empty", hint="its file holds it on the first line")
    return text
