"""The short way of the units to the daemon, and what stays out of the daemon by it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from kos_edge.install.surroundings import UNITS

ROOT = Path(__file__).parents[2]

THIRD_PARTY = {"_cffi_backend", "_cython", "_openssl", "cryptography", "cython_runtime", "ifaddr", "zeroconf"}
HEAVY = {
    "argparse",
    "click",
    "csv",
    "decimal",
    "doctest",
    "email",
    "gettext",
    "http",
    "multiprocessing",
    "optparse",
}
HEAVY |= {"pydoc", "rich", "unittest", "urllib.request", "uuid", "xml"}
"""Of the standard library and ours, what has no business in a daemon."""


def _python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_units_start_the_daemon_by_the_short_way(tmp_path: Path) -> None:
    for unit in ("kos-edge.service", "kos-edge@.service"):
        line = re.search(r"^ExecStart=/usr/bin/kos-edge (.*)$", (UNITS / unit).read_text(), re.MULTILINE)
        assert line is not None
        words = line[1].split()
        assert words[:2] == ["run", "--state"]
        words[2:] = [str(tmp_path / "none")]
        done = _python("-X", "importtime", "-m", "kos_edge.cli", *words)
        assert done.returncode != 0
        assert " click" not in done.stderr
        long = _python("-m", "kos_edge.cli", "--state", words[2], "run")
        assert done.returncode == long.returncode
        assert done.stderr.endswith(long.stderr)


def test_the_daemon_imports_nothing_that_it_does_not_need() -> None:
    script = "import sys, kos_edge.cli.service, kos_edge.node.daemon; print(*sys.modules)"
    modules = set(_python("-c", script).stdout.split())
    tops = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    other = {re.sub(r"^_cython_\w+$", "_cython", name) for name in tops} - {"kos_edge", "__main__"}
    ours = {name for name in other if not name.startswith(("__editable__", "_virtualenv", "_distutils_hack"))}
    assert ours <= THIRD_PARTY
    assert modules & HEAVY == set()
