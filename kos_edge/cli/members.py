"""invite, join, rekey, leave, allow, pending, admit, reject, revoke, rename: who belongs to the mesh."""

from __future__ import annotations

import asyncio
import sys
import time

import click

from kos_edge.cli.face import Face, Progress, common, pass_face
from kos_edge.cli.parameters import duration
from kos_edge.cli.reach import ask, reach
from kos_edge.cli.show import age, columns, counted, local_time
from kos_edge.control.reports import JoinReport, MemberReport

STATION_WAIT_S = 600.0
"""A hub forgets a newcomer that has not asked again for so long."""

_ROLES = click.Choice(("edge", "relay", "operator", "hub"))


@click.command()
@click.option("--uses", type=click.IntRange(1, 1_000_000), default=1, help="For so many newcomers (1).")
@click.option("--for", "seconds", type=duration, default="1h", metavar="TIME", help="For so long (1h).")
@click.option(
    "--replaces", metavar="WHO", help="For the new key of this member (rekey); its old one is revoked."
)
@click.option(
    "--role",
    type=click.Choice(("edge", "relay", "operator")),
    help="Only for this role; by default for edges and relays.",
)
@click.option("--qr/--no-qr", default=None, help="Show it as a QR code; by default on a terminal.")
@common
@pass_face
def invite(
    face: Face, uses: int, seconds: float, replaces: str | None, role: str | None, qr: bool | None
) -> None:
    """Make a token that lets newcomers in. Whoever has it may join: give it to nobody else."""
    report = ask(face, lambda node: node.invite(uses=uses, seconds=seconds, replaces=replaces, role=role))
    if face.json or not (sys.stdout.isatty() if qr is None else qr):
        face.answer(report, report["token"])
        return
    import segno

    # A token's case does not matter, and capitals alone make the code a third smaller.
    segno.make(report["token"].upper(), error="m").terminal(out=sys.stdout, compact=True)
    until = f" until {local_time(report['expires_at'])}" if report["expires_at"] else ""
    click.echo(f"for {counted(report['uses'], 'newcomer')}{until}; on the new machine:\n")
    click.echo(f"kos-edge join {report['token']}")


@click.command()
@click.argument("token", required=False)
@click.option("--mesh", metavar="HASH", help="Without a token: the mesh's hash, for a known key or approval.")
@common
@pass_face
def join(face: Face, token: str | None, mesh: str | None) -> None:
    """Join a mesh with an invitation's TOKEN, or as a known key (allow) or by approval (admit) with --mesh.

    Where no hub can be reached the wish is kept, and `kos-edge run` goes on with it.
    """
    if (token is None) == (mesh is None):
        raise click.UsageError("one of TOKEN and --mesh HASH is needed")
    progress = Progress(face)
    progress.say("looking for a hub")
    try:
        report = asyncio.run(_join(face, token, mesh, progress))
    finally:
        progress.done()
    match report["outcome"]:
        case "joined":
            text = f"joined as {report['name']} ({report['role']}); mesh {report['mesh'][:8]}"
        case "pending":
            text = f"waiting for approval; the words to compare at the hub are\n\n    {report['words']}\n\n"
            text += f"{face.command('run')} keeps waiting"
        case "waiting":
            why = f" ({report['reason']})" if report["reason"] else ""
            text = (
                f"no hub could be reached{why}; the wish is kept\nnext: {face.command('run')} goes on with it"
            )
    face.answer(report, text)


async def _join(face: Face, token: str | None, mesh: str | None, progress: Progress) -> JoinReport:
    """Ask to be let in; a station, where nothing goes on afterwards, waits in the foreground."""
    async with reach(face) as node:
        report = await node.join(token=token, mesh=mesh)
        waits = getattr(node, "admitted", None)
        if report["outcome"] == "joined" or waits is None:
            return report
        progress.done()
        if not face.json:
            why = report["reason"] or "no hub could be reached yet"
            click.echo(f"{why}; the words to compare at the hub are\n\n    {report['words']}\n", err=True)
        told: JoinReport = await waits(STATION_WAIT_S, lambda: progress.say("waiting to be let in"))
        return told


@click.command()
@click.argument("token")
@common
@pass_face
def rekey(face: Face, token: str) -> None:
    """Give this node a new key, with the TOKEN that `kos-edge invite --replaces NAME` made at the hub.

    For the right one of two devices that have one key. Name, queue and journal stay; stop the daemon before.
    """
    from kos_edge.node.rekey import rekey as make_new_key

    made = make_new_key(face.state, token)
    report = ask(face, lambda node: node.join(token=token))
    text = f"{made['name']} has a new key: {_short(made['kid'])} in the place of {_short(made['old'])}\n"
    if report["outcome"] == "joined":
        text += f"joined as {report['name']} ({report['role']})"
    else:
        text += f"no hub could be reached; the wish is kept\nnext: {face.command('run')} goes on with it"
    face.answer({**made, "outcome": report["outcome"]}, text)


@click.command()
@common
@pass_face
def leave(face: Face) -> None:
    """Leave the mesh. The key and what was received stay; what is still in the queue becomes dead letters."""
    report = ask(face, lambda node: node.leave())
    text = f"left the mesh {report['mesh'][:8]}" if report["mesh"] else "there was none to leave"
    count = report["set_aside"]
    if count:
        are = "is kept as a dead letter" if count == 1 else "are kept as dead letters"
        what = "it" if count == 1 else "them"
        text += (
            f"\n{counted(count, 'message')} that it did not have yet {are}; to send {what} to the next mesh: "
        )
        text += face.command("queue retry --all")
    face.answer(report, text)


@click.command()
@click.argument("public", metavar="PUBLIC_KEY_HEX")
@click.option("--role", type=_ROLES, default="edge", help="What it will be (edge).")
@click.option("--name", help="Its name in the mesh; by default the one that it asks for.")
@common
@pass_face
def allow(face: Face, public: str, role: str, name: str | None) -> None:
    """Let the owner of a public key in when it comes."""
    report = ask(face, lambda node: node.allow(public=public, role=role, name=name))
    face.answer(report, f"{_who(report)} may join as {report['role']}")


@click.command()
@common
@pass_face
def pending(face: Face) -> None:
    """Who is waiting to be let in. Compare the words with those on the newcomer's own screen."""
    waiting = ask(face, lambda node: node.pending(), offline=False)
    rows = [
        (
            each["name"] or "-",
            each["role"] or "-",
            _short(each["kid"]),
            each["address"],
            age(each["since"], time.time()),
            each["words"],
        )
        for each in waiting
    ]
    header = ("NAME", "ROLE", "KID", "FROM", "WAITING", "WORDS")
    face.answer(waiting, columns(rows, header) if rows else "nobody is waiting")


@click.command()
@click.argument("who")
@click.option("--role", type=_ROLES, help="Instead of the role that it asks for.")
@click.option("--name", help="Instead of the name that it asks for.")
@common
@pass_face
def admit(face: Face, who: str, role: str | None, name: str | None) -> None:
    """Let a waiting newcomer in; WHO is its name or the beginning of its kid."""
    report = ask(face, lambda node: node.admit(who=who, role=role, name=name), offline=False)
    face.answer(report, f"{_who(report)} is a member, {report['role']}")


@click.command()
@click.argument("who")
@common
@pass_face
def reject(face: Face, who: str) -> None:
    """Send a waiting newcomer away; WHO is its name or the beginning of its kid."""
    report = ask(face, lambda node: node.reject(who=who), offline=False)
    face.answer(report, f"{report['name'] or _short(report['kid'])} was sent away")


@click.command()
@click.argument("who")
@click.option("--reason", metavar="TEXT", help="For the people who look later.")
@common
@pass_face
def revoke(face: Face, who: str, reason: str | None) -> None:
    """Take a membership back, for good. Sessions with it end as soon as a member learns of it."""
    report = ask(face, lambda node: node.revoke(who=who, reason=reason))
    face.answer(report, f"{report['name'] or _short(report['kid'])} is revoked (number {report['number']})")


@click.command()
@click.argument("who")
@click.argument("name")
@common
@pass_face
def rename(face: Face, who: str, name: str) -> None:
    """Give a member another name, unique in the mesh."""
    report = ask(face, lambda node: node.rename(who=who, name=name))
    face.answer(report, f"{_short(report['kid'])} is called {report['name']}")


def _short(kid: str) -> str:
    return kid.rsplit(":", 1)[-1][:12]


def _who(report: MemberReport) -> str:
    return report["name"] or _short(report["kid"])
