"""What the rows on whole machines have in common: a hub and an edge with the package, and counting what went wrong."""

from __future__ import annotations

import contextlib
import subprocess
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.faults.rows import Sweep
from tests.system import packages
from tests.system.plant import Plant, arrived, connected, plant, prepared
from tests.system.shelf import Shelf


@contextlib.contextmanager
def booted(run: Sweep, folder: Path, told: str, *, shelf: Shelf | None = None) -> Iterator[Plant]:
    """A hub and an edge, connected; the edge's state on `shelf`. What does not hold inside is counted as wrong."""
    shelves = {} if shelf is None else {"edge": shelf.place}
    with plant(folder, "hub", "edge", disks=prepared(packages.package()), shelves=shelves) as machines:
        try:
            connected(machines["edge"])
            yield machines
        except (AssertionError, subprocess.SubprocessError) as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            run.wrong(f"{told}: {where.name}, line {where.lineno}: {where.line}: {error}")


def count(run: Sweep, machines: Plant, ids: Iterable[str], told: str) -> None:
    """Let everything arrive, and count what of the acknowledged did not, or twice."""
    result = arrived(machines, ids)
    run.lost(result.lost, f"{told}: {result}")
    run.twice(result.twice, f"{told}: {result}")
