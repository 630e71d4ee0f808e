"""A release: a tree that is a virtual environment over the system's Python, with our packages first.

bin/python3             -> /usr/bin/python3
pyvenv.cfg              site packages of the system are visible: Debian's python3-smbus2 serves agents
lib/python3.11, …       -> python3, so that one tree serves several Pythons
lib/python3/site-packages
kos-edge.manifest       the signed list of all files
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kos_edge.errors import Unavailable
from kos_edge.install.layout import RELEASES, SITE

PYTHON = Path("/usr/bin/python3")
START = ("-s", "-P", "-B", "-m", "kos_edge.cli")
"""How a release's Python starts it: without the user's packages and the current folder, and writing no bytecode."""

_CHECK_S = 60
"""A Pi Zero 2 with a slow card takes 15 s to import everything for the first time."""


def furnish(tree: Path, pythons: Sequence[str], python: Path = PYTHON) -> Path:
    """Make an empty release for these Pythons ("3.11") at `tree`, run by `python`; its folder of packages."""
    site = tree / SITE
    site.mkdir(parents=True)
    (tree / "bin").mkdir()
    (tree / "bin" / "python3").symlink_to(python)
    for version in pythons:
        (tree / "lib" / f"python{version}").symlink_to("python3")
    (tree / "pyvenv.cfg").write_text(f"home = {python.parent}\ninclude-system-site-packages = true\n")
    return site


def compile_tree(tree: Path, version: str, python: Path | str) -> None:
    """Make bytecode that is used without a look at its source, as the interpreter `python` wants it.

    The same tree gives the same bytes: they are part of the manifest. Raises Unavailable.
    """
    target = f"/{RELEASES}/{version}"
    command = [str(python), "-I", "-m", "compileall", "-q", "-q", "-j", "0"]
    command += ["-s", str(tree), "-p", target, "--invalidation-mode", "unchecked-hash", str(tree / SITE)]
    done = subprocess.run(command, env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"cannot make bytecode in {tree}: {_last(done.stdout + done.stderr)}")


def running_python() -> str:
    """The Python that runs this, as `furnish` names one."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def version_of(tree: Path) -> str:
    """What a release says it is, run for it. Raises Unavailable where it does not run on this machine."""
    command = [str(tree / "bin" / "python3"), *START, "--version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_CHECK_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"the release in {tree} does not run: {error}") from None
    if done.returncode != 0:
        raise Unavailable(
            f"the release in {tree} does not run: {_last(done.stderr)}",
            hint="it may be for another architecture or Python; see `python3 --version` and `uname -m`",
        )
    return done.stdout.strip()


def _last(text: str) -> str:
    return next(reversed(text.strip().splitlines()), "it said nothing")
