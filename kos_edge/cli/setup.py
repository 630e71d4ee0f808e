"""init, run, stop, demo: from nothing to a running node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import click

from kos_edge.cli.face import Face, common, pass_face
from kos_edge.errors import Invalid

_ROLES = ("hub", "edge", "relay", "operator")


def _address(check: Callable[[str], object]) -> Callable[..., tuple[str, ...]]:
    def callback(
        context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
    ) -> tuple[str, ...]:
        for text in value:
            try:
                check(text)
            except Invalid as error:
                raise click.BadParameter(error.message, context, parameter) from None
        return value

    return callback


def _listen(text: str) -> object:
    from kos_edge.node.addresses import parse_listen

    return parse_listen(text)


def _peer(text: str) -> object:
    from kos_edge.node.addresses import parse_peer

    return parse_peer(text)


@click.command()
@click.option(
    "--role",
    type=click.Choice(_ROLES),
    required=True,
    help="hub: admits others and keeps what they send; edge: sends; relay: passes on; operator: a laptop that "
    "administers.",
)
@click.option("--name", help="Its name in the mesh; by default this machine's.")
@click.option(
    "--passphrase-file",
    type=click.File("r"),
    help="For a hub: the passphrase of the recovery file; without it one is made and shown once.",
)
@common
@pass_face
def init(face: Face, role: str, name: str | None, passphrase_file: TextIO | None) -> None:
    """Make a node: its key and its state directory.

    A hub also makes a mesh: its authority goes into an encrypted recovery file, to be moved off this machine.
    """
    passphrase = passphrase_file.readline().rstrip("\n") if passphrase_file else None
    if passphrase == "":
        raise Invalid("the passphrase is empty", hint="its file holds it on the first line")
    from kos_edge.node.initialize import initialize

    made = initialize(face.state, role, name, passphrase=passphrase)
    lines = [
        f"{made['name']}: a new {role} in {made['state']}",
        f"  kid         {made['kid']}",
        f"  public key  {made['public']}",
        f"  words       {made['words']}",
    ]
    if made["mesh"]:
        lines.append(f"  mesh        {made['mesh']}")
    if made["recovery"]:
        lines.append(f"  recovery    {made['recovery']}: move it off this machine")
    if made["passphrase"]:
        lines.append(f"  passphrase  {made['passphrase']}: write it down, it is not shown again")
    after = {"hub": "run", "operator": "join --mesh HASH, or a TOKEN of: invite --role operator"}
    lines.append(f"next: {face.command(after.get(role, 'join TOKEN'))}")
    face.answer(made, "\n".join(lines))


@click.command()
@click.argument("agents", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--listen", multiple=True, metavar="ADDR:PORT", callback=_address(_listen), help="Listen here.")
@click.option("--interface", multiple=True, metavar="IF", help="Look for others on this interface only.")
@click.option(
    "--peer", multiple=True, metavar="ADDR:PORT", callback=_address(_peer), help="Try this node as well."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Instead of config.toml in the state directory.",
)
@click.option(
    "--mode",
    type=click.Choice(("default", "recovery", "minimal")),
    help="recovery: no agents, the queue still drains; minimal: no network.",
)
@common
@pass_face
def run(
    face: Face,
    agents: tuple[Path, ...],
    listen: tuple[str, ...],
    interface: tuple[str, ...],
    peer: tuple[str, ...],
    config: Path | None,
    mode: str | None,
) -> int:
    """Run the node until it is stopped, with the agents in these files.

    --listen, --interface and --peer may be given several times; they replace what the configuration says.
    """
    from kos_edge.node.statedir import StateDir

    StateDir.open(face.state)
    from kos_edge.bootstrap.sequence import Mode
    from kos_edge.node.daemon import run as run_daemon

    chosen = None if mode is None else Mode(mode)
    return run_daemon(face.state, list(agents), list(listen), list(interface), list(peer), config, chosen)


@click.command()
@common
@pass_face
def stop(face: Face) -> None:
    """Stop the running daemon in order: agents first, then what is under way."""
    from kos_edge.cli.reach import ask

    report = ask(face, lambda node: node.stop(), offline=False)
    face.answer(report, f"process {report['pid']} is stopping")


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), metavar="N", help="Take about so long.")
@common
@pass_face
def demo(face: Face, seconds: float | None) -> int:
    """Watch three nodes lose nothing while links and processes die."""
    from kos_edge.cli.demo import run_demo

    return run_demo(face.json, seconds)
