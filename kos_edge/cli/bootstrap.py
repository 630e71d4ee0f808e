"""bootstrap, bootstrap status: how this node came up, and beginning again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import click

from kos_edge.cli.face import Face, Progress, common, pass_face
from kos_edge.cli.reach import ask
from kos_edge.cli.show import age, clean, counted, span
from kos_edge.control.bootstrap_reports import AgainReport, BootstrapReport
from kos_edge.control.client import Client, NoDaemon
from kos_edge.errors import Unavailable
from kos_edge.node.bootstrap_operations import kept_report, wish_for_next
from kos_edge.node.statedir import StateDir

_MODES = click.Choice(("default", "recovery", "minimal"))
_SAID_EVERY_S = 0.5
_COLOURS = {"done": "green", "failed": "red", "degraded": "red", "waiting": "yellow"}


@click.group(invoke_without_command=True)
@click.option(
    "--mode",
    type=_MODES,
    help="default: everything; recovery: no agents, the queue still drains; minimal: no network.",
)
@click.option("--force", is_flag=True, help="Although nothing asks for it, or a health check fails.")
@click.option(
    "--os-update", is_flag=True, help="Only if the health checks pass: files, vault, disk, database."
)
@click.option("--node", "who", metavar="WHO", help="At a hub: order this member to, who must be connected.")
@common
@click.pass_context
def bootstrap(
    context: click.Context, mode: str | None, force: bool, os_update: bool, who: str | None
) -> None:
    """Begin again: the daemon ends in order and goes through all its steps anew. Nothing that waits is lost.

    Without a daemon the next start is in the mode that was asked for. `bootstrap status` says how it went.
    """
    if context.invoked_subcommand is not None:
        return
    face = context.ensure_object(Face)
    wanted = mode or "default"
    try:
        report = ask(
            face,
            lambda node: _waited(
                face, node.bootstrap(mode=wanted, force=force, checks=os_update, who=who), checks=os_update
            ),
            offline=False,
        )
    except Unavailable:
        if who is not None or os_update or not _is_down(face):
            raise
        report = wish_for_next(face.state, wanted)
    face.answer(report, _again_text(face, report))


@bootstrap.command()
@common
@pass_face
def status(face: Face) -> None:
    """The latest start, step by step, with or without a daemon; after a crash, in which step it was."""
    StateDir.open(face.state)
    client = Client(StateDir(face.state).control_socket)
    try:
        report = asyncio.run(client.bootstrap_status())
    except NoDaemon:
        report = kept_report(face.state)
    face.answer(report, _text(report, time.time()))


async def _waited(face: Face, asking: Coroutine[Any, Any, AgainReport], *, checks: bool) -> AgainReport:
    """The answer; meanwhile it is said for how long the checks last."""
    progress, since = Progress(face), time.monotonic()
    task = asyncio.ensure_future(asking)
    try:
        while not (await asyncio.wait({task}, timeout=_SAID_EVERY_S))[0]:
            if checks:
                progress.say(f"checking files, vault, disk and database: {span(time.monotonic() - since)}")
        return task.result()
    finally:
        task.cancel()
        progress.done()


def _is_down(face: Face) -> bool:
    try:
        asyncio.run(Client(StateDir(face.state).control_socket).reach())
    except NoDaemon:
        return True
    return False


def _again_text(face: Face, report: AgainReport) -> str:
    return f"{clean(report['said'])}\nnext: {face.command('bootstrap status')}"


def _text(report: BootstrapReport, now: float) -> str:
    when = f" {age(report['at'], now)} ago" if report["at"] else ""
    head = f"start {report['number']}{when}, {report['mode']} mode, version {clean(report['version'])}"
    head += "" if report["cause"] == "start" else f", by {clean(report['cause'])}"
    lines = [head]
    if report["reason"]:
        lines.append(click.style(f"  {clean(report['reason'])}", fg="red"))
    for step in report["steps"]:
        outcome = click.style(f"{step['outcome']:9}", fg=_COLOURS.get(step["outcome"]))
        took = span(step["seconds"]) if step["seconds"] else ""
        lines.append(f"  {step['step']:14} {outcome} {took:>7}  {clean(step['said'])}".rstrip())
        if step["mend"]:
            lines.append(f"  {'':14} {'':9} {'':7}  next: {clean(step['mend'])}")
    if report["ended"]:
        lines.append(f"it {clean(report['ended'])}")
    if report["failures"]:
        lines.append(f"{counted(report['failures'], 'start')} in a row failed before")
    if report["next_mode"]:
        lines.append(f"the next start will be in {report['next_mode']} mode")
    lines += [
        f"  start {each['number']}, {each['mode']} mode, {clean(each['ended'])}" for each in report["earlier"]
    ]
    lines += [f"  ordered by {clean(each['giver'])}: {each['mode']} mode" for each in report["orders"]]
    return "\n".join(lines)
