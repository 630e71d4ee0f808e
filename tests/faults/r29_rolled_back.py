"""R29: an upgrade that changes the database and is taken back, with a queue, killed at every step of either way."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tests.e2e.boxes import ROOT, Box
from tests.faults.rows import Sweep, row
from tests.faults.script import Blow
from tests.store.later import NOW

QUEUED = 300
"""Messages that wait before the upgrade."""
CONFIG = '[topic."air.#"]\naudience = "relay"\n'
"""So that they wait: there is no relay."""
CALLS = {"pwrite64": 60, "fdatasync": 12, "ftruncate": 3, "rename": 6, "fsync": 8}
"""How often a command makes each call while it opens the store, migrates it, and publishes, about."""


@row("R29", "upgrade and rollback with a queue, killed at each step", lane="faults", minutes=6)
def sweep(run: Sweep) -> None:
    kept = run.folder / "kept"
    box = Box(kept)
    assert box("init", "--role", "hub", "--name", "hub").code == 0
    (kept / "config.toml").write_text(CONFIG)
    queued = "".join(f"{number}\n" for number in range(QUEUED))
    assert len(box("publish", "air.temperature", stdin=queued).ids) == QUEUED
    blows = [
        (way, Blow("sender", call, nth))
        for nth in range(1, max(CALLS.values()) + 1)
        for call, most in CALLS.items()
        for way in ("there", "back")
        if nth <= most
    ]
    for way, blow in blows[:: len(blows) // run.share(full=len(blows), bounded=2)]:
        state = run.folder / "case"
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(kept, state)
        _one(run, Box(state), way, blow)
        run.case()


def _one(run: Sweep, box: Box, way: str, blow: Blow) -> None:
    """There with the newer program, back with ours; the blow falls on one of the two, and each tries again."""
    told = f"on the way {way}, {blow}"
    accepted = QUEUED
    unknown = 0
    for program in ("there", "back"):
        words = box.line("publish", "air.temperature", "7")
        if program == "there":
            words[1:3] = ["-m", "tests.store.later"]
        struck = _run([*blow.prefix, *words] if program == way else words)
        accepted += struck == 0
        unknown += struck != 0
        again = _run(words)
        if again != 0:
            run.wrong(f"{told}: {program} does not work after it: exit code {again}")
        accepted += again == 0
    count, holes, version = _look(box.state)
    if count < accepted:
        run.lost(accepted - count, told)
    if count > accepted + unknown:
        run.twice(count - accepted - unknown, told)
    if holes or version != NOW:
        run.wrong(f"{told}: {holes} holes in the numbering, schema {version}")


def _run(words: Sequence[str]) -> int:
    return subprocess.run(
        words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=60
    ).returncode


def _look(state: Path) -> tuple[int, int, int]:
    """How many messages the store has, where their numbers do not follow each other, and its schema."""
    with closing(sqlite3.connect(state / "kos.db")) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        rows = database.execute("SELECT stream, first, count FROM pack ORDER BY stream, first").fetchall()
    expected: dict[int, int] = {}
    holes = 0
    for stream, first, count in rows:
        holes += first != expected.get(stream, 1)
        expected[stream] = first + count
    return sum(count for _, _, count in rows), holes, int(version)
