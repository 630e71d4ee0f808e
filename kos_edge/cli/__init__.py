"""The command line: a face of the node, a process of its own."""

from kos_edge.cli.entry import main

__all__ = ["main"]
