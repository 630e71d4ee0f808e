"""``python -m kos_edge.cli`` is ``kos-edge``."""

from kos_edge.cli import main

main()
