"""Whole fleets in virtual time with faults from seeds, and the promises of kos-edge checked throughout.

    python -m kos_edge.testing.simulate                          seeds 0 to 499
    python -m kos_edge.testing.simulate --seeds 10000 --jobs 2
    python -m kos_edge.testing.simulate --seed 4711 --trace trace.txt

A seed decides the fleet, its load and what goes wrong, and gives the same trace to the byte wherever it runs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kos_edge.testing.plan import plan
from kos_edge.testing.story import Outcome, run

SEEDS = 500
BLOCK = 25  # seeds that a process takes at a time


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one seed came to, small enough to be handed between processes."""

    seed: int
    broken: str
    at: float
    accepted: int

    def __str__(self) -> str:
        return (
            f"seed {self.seed} after {self.at:.3f} s: {self.broken}\n"
            f"  again: python -m kos_edge.testing.simulate --seed {self.seed} --trace trace.txt"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m kos_edge.testing.simulate", description=_FIRST_LINE)
    parser.add_argument("--seed", type=int, help="this one, with what it means")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write what happens in it there")
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, metavar="N", help="so many (default: %(default)s)"
    )
    parser.add_argument("--first", type=int, default=0, metavar="N", help="beginning with this one")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes beside each other")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _one(options.seed, options.trace)
    began, count, accepted, failed = time.monotonic(), 0, 0, 0
    for verdict in sweep(range(options.first, options.first + options.seeds), jobs=options.jobs):
        count, accepted = count + 1, accepted + verdict.accepted
        if verdict.broken:
            failed += 1
            print(verdict, flush=True)
    seconds = time.monotonic() - began
    print(f"{count} seeds, {accepted} messages accepted, {failed} seeds broken, {seconds:.0f} s")
    return 1 if failed else 0


def sweep(seeds: Sequence[int], *, jobs: int = 1) -> Iterator[Verdict]:
    """The verdicts of many seeds, in their order."""
    blocks = [seeds[at : at + BLOCK] for at in range(0, len(seeds), BLOCK)]
    if jobs <= 1:
        yield from _flat(map(block, blocks))
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from _flat(pool.map(block, blocks))


def block(seeds: Sequence[int]) -> list[Verdict]:
    """Some seeds in this process."""
    return [_verdict(run(plan(seed))) for seed in seeds]


def _one(seed: int, trace: Path | None) -> int:
    planned = plan(seed)
    print("\n".join(planned.lines()), flush=True)
    outcome = run(planned)
    if trace is not None:
        outcome.trace.write(trace)
    print(
        _verdict(outcome) if outcome.broken else f"holds; {outcome.accepted} accepted in {outcome.at:.0f} s"
    )
    print(f"trace {outcome.trace.digest}")
    return 1 if outcome.broken else 0


def _verdict(outcome: Outcome) -> Verdict:
    return Verdict(outcome.plan.seed, outcome.broken, outcome.at, outcome.accepted)


def _flat(blocks: Iterable[list[Verdict]]) -> Iterator[Verdict]:
    for verdicts in blocks:
        yield from verdicts


_FIRST_LINE = (__doc__ or "").splitlines()[0]

if __name__ == "__main__":
    sys.exit(main())
