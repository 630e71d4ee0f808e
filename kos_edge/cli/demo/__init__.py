"""`kos-edge demo`: three real nodes, a cut link, two killed processes, and a ledger of what became of every reading."""

from __future__ import annotations


def run_demo(json_output: bool, seconds: float | None) -> int:
    """Play the demonstration; 0 when nothing was lost and nothing came twice, else 1."""
    from kos_edge.cli.demo.play import play

    return play(json_output, seconds)
