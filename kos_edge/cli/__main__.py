"""``python -m kos_edge.cli`` is ``kos-edge``."""

from kos_edge.cli.entry import main

main()
