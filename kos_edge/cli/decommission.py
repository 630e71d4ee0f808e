"""decommission: the end of a node, here or at its hub."""

from __future__ import annotations

import click

from kos_edge.cli.face import Face, common, pass_face
from kos_edge.cli.reach import ask
from kos_edge.cli.show import clean, counted, size
from kos_edge.control.bootstrap_reports import DecommissionReport

NOT_PROVEN = 1
"""The exit code where a secret is left somewhere."""


@click.command()
@click.argument("who", required=False)
@click.option("--discard", is_flag=True, help="Although messages wait that nobody else has.")
@click.option("--end-mesh", is_flag=True, help="Although this is its only hub, or has its authority.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
@pass_face
def decommission(face: Face, who: str | None, discard: bool, end_mesh: bool, yes: bool) -> int:
    """End this node for good: all of it is overwritten and removed, and what is left is searched for its keys.

    No daemon may run, and the queue has to be empty.
    With WHO, at a hub: take that member's membership back. Do that after the node itself has brought its queue over.
    """
    if who is not None:
        report = ask(face, lambda node: node.revoke(who=who, reason="decommissioned"))
        face.answer(
            report, f"{report['name'] or report['kid']} is decommissioned: its key opens nothing any more"
        )
        return 0
    if not yes and not face.json:
        click.confirm(f"wipe the node in {face.state} for good?", abort=True, err=True)
    if not yes and face.json:
        raise click.UsageError("--json asks nobody: --yes is needed")
    from kos_edge.node.decommission import decommission as wipe

    gone = wipe(face.state, discard=discard, end_mesh=end_mesh)
    face.answer(gone, _text(gone))
    return NOT_PROVEN if gone["after"] else 0


def _text(report: DecommissionReport) -> str:
    who = report["name"] or "the node"
    lines = [
        f"{who} is no more: {counted(report['files'], 'file')} in {report['state']} overwritten and removed",
        f"looked for {counted(len(report['looked_for']), 'secret')} in {size(report['bytes_before'])} before"
        f" (found in {counted(len(report['before']), 'place')}) and in {size(report['bytes_after'])} after",
    ]
    lines += [f"not looked for: {clean(each)}" for each in report["not_looked_for"]]
    if report["after"]:
        lines += [click.style(f"STILL THERE: {clean(each)}", fg="red") for each in report["after"]]
    else:
        lines.append("no key is left in any file of the state or of the configuration")
    lines.append(
        "a flash card may keep old blocks where no program reaches them: destroy it where that matters"
    )
    if report["name"]:
        lines.append(f"next, at the hub: kos-edge decommission {report['name']}")
    return "\n".join(lines)
