"""`python -m benchmarks`: measure the table, print it, and write build/bench.json. `make bench` runs this."""

from __future__ import annotations

import argparse
import contextlib
import sys
from fnmatch import fnmatch
from pathlib import Path

from benchmarks.brokers import programs
from benchmarks.page import update
from benchmarks.report import machine, table, versions, write
from benchmarks.rounds import ROUNDS, measure
from benchmarks.rows import ROWS

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", default="", help=f"rows, by commas, or 'idle*': {', '.join(row.name for row in ROWS)}"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each subject is measured")
    parser.add_argument("--short", action="store_true", help="a look of seconds at each; one round")
    options = parser.parse_args()
    only = [name for name in options.only.split(",") if name]
    unknown = [name for name in only if not any(fnmatch(row.name, name) for row in ROWS)]
    if unknown:
        parser.error(f"no row is called {', '.join(unknown)}")
    rows = [row for row in ROWS if not only or any(fnmatch(row.name, name) for name in only)]
    _say(" ".join(f"{key}={value}" for key, value in (machine() | versions()).items()))
    if any(row.beside and row.beside.subject.startswith("brokers.") for row in rows):
        with contextlib.suppress(programs.Missing):  # their rows say so
            programs.install()
    found = measure(rows, short=options.short, rounds=1 if options.short else options.rounds, say=_say)
    report = write(ROOT / "build" / "bench.json", found, short=options.short)
    if len(rows) == len(ROWS) and not options.short:
        update(ROOT / "docs", report)
    _say(table(found))
    return 1 if any(each.holds is False for each in found) else 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
