"""The daemon as its unit starts it: ``kos-edge run --state DIR``, with nothing of the other commands."""

from __future__ import annotations

from pathlib import Path

from kos_edge.cli.telling import told


def serve(state: Path) -> int:
    """Run the node of that state until it is stopped; the exit code. Raises nothing that a person could have caused."""
    return told(lambda: _serve(state.absolute()), as_json=False)


def _serve(state: Path) -> int:
    from kos_edge.node.statedir import StateDir

    StateDir.open(state)
    from kos_edge.node.daemon import run

    return run(state, [])
