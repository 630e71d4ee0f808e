"""release: which version of the program runs, and the way to another one and back."""

from __future__ import annotations

import os
import time

import click

from kos_edge.cli.face import Face, common, pass_face
from kos_edge.clock import SystemClock
from kos_edge.errors import Refused, Unavailable
from kos_edge.install.activation import SETTLE_S, Activation, Outcome
from kos_edge.install.judging import judge
from kos_edge.install.layout import Layout
from kos_edge.install.release import version_of
from kos_edge.install.shelf import Shelf
from kos_edge.install.systemd import Systemd


@click.group()
@common
def release() -> None:
    """The versions of kos-edge on this machine: which one runs, and back to the one before.

    A new one is tried: where the running daemons are not healthy with it within three minutes, the one before
    runs again.
    """


@release.command(name="list")
@common
@pass_face
def list_releases(face: Face) -> None:
    """The releases that are here."""
    shelf = Shelf(Layout())
    current, previous, pending = shelf.current(), shelf.previous(), shelf.pending()
    rows = [
        {"release": name, "current": name == current, "previous": name == previous, "on_trial": False}
        for name in shelf.names()
    ]
    for row in rows:
        row["on_trial"] = bool(row["current"] and pending is not None)
    lines = [f"{row['release']}{_remark(row)}" for row in rows]
    face.answer(rows, "\n".join(lines) or "there is none: this kos-edge was installed by other means")


@release.command()
@click.argument("version", required=False)
@click.option(
    "--settle",
    type=click.FloatRange(min=0, max=600),
    default=SETTLE_S,
    metavar="SECONDS",
    help=f"How long it has to stay healthy ({SETTLE_S:g}).",
)
@common
@pass_face
def activate(face: Face, version: str | None, settle: float) -> None:
    """Run release VERSION from now on; without one that of the Debian package."""
    _need_root()
    shelf, layout = Shelf(Layout()), Layout()
    if version is None or (version not in shelf.names() and layout.packaged):
        if not layout.packaged:
            raise Unavailable(
                "the Debian package is not here; say which release", hint="kos-edge release list"
            )
        brought = version_of(layout.package)
        if version in (None, brought):
            version = shelf.adopt(layout.package, brought)
    assert version is not None
    _tell(face, _activation(face, shelf, settle).activate(version))


@release.command()
@common
@pass_face
def rollback(face: Face) -> None:
    """Run the release before the current one again. The queue and the keys stay as they are."""
    _need_root()
    _tell(face, _activation(face, Shelf(Layout()), SETTLE_S).rollback())


@release.command()
@common
@pass_face
def settle(face: Face) -> None:
    """Finish an activation that was interrupted: keep the new release if it is healthy, else go back."""
    _need_root()
    done = _activation(face, Shelf(Layout()), SETTLE_S).settle()
    if done is None:
        face.answer({"changed": False}, "nothing was interrupted")
    else:
        _tell(face, done)


def _activation(face: Face, shelf: Shelf, settle_s: float) -> Activation:
    os.umask(0o022)
    say = (lambda text: None) if face.json else (lambda text: click.echo(text, err=True))
    return Activation(
        shelf,
        Systemd(),
        SystemClock(),
        time.sleep,
        say,
        lambda tree: judge(tree, shelf.layout, say),
        settle_s=settle_s,
    )


def _tell(face: Face, done: Outcome) -> None:
    report = {
        "release": done.release,
        "before": done.before,
        "changed": done.changed,
        "restarted": done.restarted,
        "removed": done.removed,
    }
    if not done.changed:
        face.answer(report, f"release {done.release} is the current one already")
        return
    text = f"release {done.release} runs"
    if done.before is not None and done.before != done.release:
        text += f"; {done.before} is kept (kos-edge release rollback)"
    face.answer(report, text)


def _remark(row: dict[str, object]) -> str:
    words = [word for word in ("current", "previous", "on_trial") if row[word]]
    return f"  {', '.join(words)}".replace("_", " ") if words else ""


def _need_root() -> None:
    if os.geteuid() != 0:
        raise Refused("this changes the system and needs root", hint="put sudo before it")
