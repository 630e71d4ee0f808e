"""`python -m tests.faults`: the full sweeps of the rows of docs/reliability.md, a table, and build/faults.json.

Rows run beside each other, as many as there are cores, each in a process of its own; those that measure time run
alone, at the end. Exit 1 if any of ours does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from tests.faults.report import Result, document, table
from tests.faults.rows import Row, Sweep, Tally, rows

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 3_000
"""Seconds after which one row is ended: all of them together have an hour."""
LONGEST_MIN = 50.0
"""A row that takes longer is swept when it is called by its whole name."""
PROGRESS_S = 60.0
"""Between two words on how far a row has come."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", metavar="R01,R06", default="", help="these rows; R01 also means R01-mosquitto"
    )
    parser.add_argument("--bounded", action="store_true", help="only the share that `make test` tries")
    parser.add_argument("--seed", type=int, default=0, help="decides what is drawn by lot")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="rows beside each other")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    known = {row.name: row for row in rows()}
    if options.one:
        return _one(known[options.one], full=not options.bounded, seed=options.seed)
    wanted = [word for word in options.only.replace(",", " ").split() if word]
    unknown = [
        word for word in wanted if word not in known and word not in {row.id for row in known.values()}
    ]
    if unknown:
        parser.error(f"no row is called {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [
        row
        for row in known.values()
        if row.name in wanted
        or (row.id in wanted and row.minutes <= LONGEST_MIN)
        or not (wanted or row.minutes > LONGEST_MIN)
    ]
    began = time.monotonic()
    results = _all(chosen, options)
    seconds = time.monotonic() - began
    for result in results:
        for note in result.tally.notes if result.holds is False else []:
            print(f"{result.id} {result.of}: {note}")
        if result.broken:
            print(f"{result.id} {result.of} broke:\n{result.broken}")
    print(table(results), flush=True)
    out = ROOT / "build" / "faults.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(document(results, seconds=seconds), indent=1) + "\n")
    held = sum(result.holds for result in results)
    print(
        f"\n{held} rows hold, {len(results) - held} do not; {seconds / 60:.0f} min; {out.relative_to(ROOT)}"
    )
    return 0 if held == len(results) else 1


def _all(chosen: Sequence[Row], options: argparse.Namespace) -> list[Result]:
    beside = sorted((row for row in chosen if not row.alone), key=lambda row: -row.minutes)
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        results = list(pool.map(lambda row: _process(row, options), beside))
    results += [_process(row, options) for row in chosen if row.alone]
    order = {row.name: place for place, row in enumerate(chosen)}
    return sorted(results, key=lambda result: order[_name(result)])


def _name(result: Result) -> str:
    return Row(result.id, "", lambda run: None, result.of).name


def _process(row: Row, options: argparse.Namespace) -> Result:
    """Run one row in a process of its own and read what it has counted."""
    command = [sys.executable, "-m", "tests.faults", "--one", row.name, "--seed", str(options.seed)]
    command += ["--bounded"] if options.bounded else []
    print(f"{row.name} begins: {row.title}", file=sys.stderr, flush=True)
    began = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    said: list[str] = []
    listener = threading.Thread(target=_listen, args=(process, f"{row.name}: ", said))
    listener.start()
    ended = threading.Event()
    limit_s = max(LIMIT_S, row.minutes * 90)
    limit = threading.Timer(limit_s, _end, (process.pid, ended))
    limit.start()
    out = process.stdout.read()
    code = process.wait()
    limit.cancel()
    listener.join()
    broken = "" if code == 0 else "".join(said)[-4_000:] or f"exit {code}"
    if ended.is_set():
        broken = f"ended after {limit_s:.0f} s"
    seconds = time.monotonic() - began
    last = out.splitlines()[-1] if out.strip() and not broken else "{}"
    tally = Tally(**json.loads(last))
    print(f"{row.name} ended after {seconds:.0f} s", file=sys.stderr, flush=True)
    return Result(row.id, row.title, row.of, tally, seconds, broken)


def _end(pid: int, ended: threading.Event) -> None:
    """Kill a row and whatever it has started."""
    ended.set()
    subprocess.run(["kill", "-KILL", "--", f"-{pid}"], check=False)


def _listen(process: subprocess.Popen[str], mark: str, said: list[str]) -> None:
    """Pass on how far a row has come, and keep everything else that it says."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(mark):
            print(line, end="", file=sys.stderr, flush=True)
        else:
            said.append(line)


class _Progress:
    """Says once a minute how far a row has come."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began = self._said = time.monotonic()

    def __call__(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._said >= PROGRESS_S:
            self._said = now
            counts = f"{tally.lost:,} lost, {tally.twice:,} twice, {tally.wrong:,} wrong"
            minutes = (now - self._began) / 60
            print(
                f"{self._name}: {tally.cases:,} cases in {minutes:.0f} min, {counts}",
                file=sys.stderr,
                flush=True,
            )


def _one(row: Row, *, full: bool, seed: int) -> int:
    folder = Path(tempfile.mkdtemp(prefix=f"kos-edge-{row.name}-"))
    run = Sweep(folder, full=full, seed=seed, counted=_Progress(row.name))
    try:
        row.sweep(run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(asdict(run.tally)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
