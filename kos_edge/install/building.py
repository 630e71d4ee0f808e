"""A release out of the running environment: what `pipx install` or `pip install` has put together."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from kos_edge import __version__
from kos_edge.errors import Unavailable
from kos_edge.install.disk import said
from kos_edge.install.environment import copy
from kos_edge.install.layout import Layout
from kos_edge.install.release import PYTHON, compile_tree, furnish, running_python
from kos_edge.install.shelf import Shelf

ROOM_BYTES = 160 << 20
"""A release with its bytecode has 70 MB, and the one before stays."""
_PRIVATE = ("/home/", "/root/", "/tmp/", "/run/user/")
"""Where the daemon's user may look at nothing (ProtectHome, PrivateTmp)."""


def runs_from(layout: Layout) -> str | None:
    """The release that this process is; None where it is something else."""
    prefix = Path(sys.prefix).resolve()
    return prefix.name if prefix.parent == layout.releases.resolve() else None


def build(layout: Layout) -> str:
    """Make a release of this environment, or find the one that is the same; its name.

    Raises Unavailable where the disk has no room for it, or the daemon could not use this Python.
    """
    python = system_python()
    part = layout.releases / f".{__version__}.part"
    with said(part):
        layout.releases.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
    free = shutil.disk_usage(layout.releases).free
    if free < ROOM_BYTES:
        raise Unavailable(
            f"{layout.lib} has room for {free >> 20} MB, and this takes {ROOM_BYTES >> 20} MB",
            hint="make room on the disk, then run it again",
        )
    try:
        with said(part):
            copy(furnish(part, (running_python(),), python))
            compile_tree(part, __version__, python)
        return Shelf(layout).place(part, __version__)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def system_python() -> Path:
    """An interpreter for the daemon like the one that runs this. Raises Unavailable where there is none for it."""
    version = running_python()
    for candidate in (Path(f"/usr/bin/python{version}"), PYTHON):
        if candidate.exists() and version in candidate.resolve().name:
            return PYTHON if PYTHON.resolve() == candidate.resolve() else candidate
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    if str(base).startswith(_PRIVATE):
        raise Unavailable(
            f"this kos-edge runs with the Python {base}, which the daemon's user may not read",
            hint="install it with the system's: pipx install --python /usr/bin/python3 kos-edge",
        )
    return base
