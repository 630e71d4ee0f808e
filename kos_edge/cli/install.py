"""install and uninstall: from a program to a node that runs as a service, and back."""

from __future__ import annotations

import os
import time

import click

from kos_edge import __version__
from kos_edge.cli.face import Face, common, pass_face
from kos_edge.cli.manual import completions, pages
from kos_edge.cli.show import span
from kos_edge.clock import SystemClock
from kos_edge.errors import Refused
from kos_edge.install.installation import Installation, Step, Wish
from kos_edge.install.layout import Layout
from kos_edge.install.machine import look
from kos_edge.install.removal import Removal
from kos_edge.install.surroundings import surroundings
from kos_edge.install.system import ThisSystem

_DATE = "2026-11-24"
"""Of the man pages: a date that stays, so that a second installation changes nothing."""


@click.command()
@click.option(
    "--role", type=click.Choice(("hub", "edge", "relay")), help="What a new node will be (edge with --join)."
)
@click.option("--name", help="Its name in the mesh; by default this machine's.")
@click.option("--join", "token", metavar="TOKEN", help="Join the mesh of an invitation.")
@common
@pass_face
def install(face: Face, role: str | None, name: str | None, token: str | None) -> None:
    """Make this machine a node that starts with it: user, directories, program, unit, key, membership.

    Run it again at any time: what is there stays, and it says so. Where a step fails, the machine is as it was.
    """
    os.umask(0o022)
    clock, layout = SystemClock(), Layout()
    refuse_another_state(face, layout)
    began = clock.monotonic()

    def hear(step: Step) -> None:
        if not face.json:
            click.echo(f"  {step.name:<12} {step.outcome:<10} {span(step.seconds):>9}  {step.said}")

    files = surroundings(completions(), pages(__version__, _DATE))
    installation = Installation(layout, look(), ThisSystem(), clock, time.sleep, files, hear)
    installation.run(Wish(role, name, token))
    seconds = clock.monotonic() - began
    report = {
        "changed": installation.changed,
        "seconds": round(seconds, 3),
        "steps": [
            {"step": step.name, "outcome": step.outcome, "said": step.said, "seconds": round(step.seconds, 3)}
            for step in installation.steps
        ],
        "node": installation.made.get("node"),
        "join": installation.made.get("join"),
    }
    face.answer(report, _text(installation, seconds))


def refuse_another_state(face: Face, layout: Layout) -> None:
    """Raises Refused for another state than the service's, rather than not to mind it."""
    if face.chosen_state is not None and face.state != layout.state:
        raise Refused(
            f"the service has its state in {layout.state}, not in {face.state}",
            hint=f"leave --state away; for more daemons on one machine: {layout.units}/kos-edge@.service",
        )


def _text(installation: Installation, seconds: float) -> str:
    if not installation.changed:
        return "everything is there already; nothing was changed"
    lines = [f"the node runs, after {span(seconds)}"]
    made = installation.made.get("node")
    if made and made["recovery"]:
        lines.append(f"  recovery    {made['recovery']}: move it off this machine")
        lines.append(f"  passphrase  {made['passphrase']}: write it down, it is not shown again")
    lines.append("next: kos-edge status" if not made or made["role"] != "hub" else "next: kos-edge invite")
    return "\n".join(lines)


@click.command()
@click.option("--purge", is_flag=True, help="Keys, queue, journal and configuration as well, for good.")
@common
@pass_face
def uninstall(face: Face, purge: bool) -> None:
    """Stop the daemon and remove the program. Keys, queue and configuration stay, unless they are purged."""
    refuse_another_state(face, Layout())
    files = surroundings(completions(), pages(__version__, _DATE))
    gone = Removal(Layout(), look(), ThisSystem(), files).run(purge=purge)
    text = "\n".join(f"removed: {each}" for each in gone) or "there was nothing to remove"
    if gone and not purge:
        text += "\nkept: /var/lib/kos-edge and /etc/kos-edge (kos-edge uninstall --purge removes them)"
    face.answer({"removed": gone, "purged": purge}, text)
