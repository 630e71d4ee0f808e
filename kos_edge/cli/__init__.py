"""The command line: a face of the node, a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

COMPLETE = "_KOS_EDGE_COMPLETE"
"""The variable in which a shell asks for words that complete a line."""


def main() -> NoReturn:
    """The ``kos-edge`` command.

    The line of the units has a short way to the daemon: click and what describes the other commands would stay in it,
    1.8 MB of memory and a sixth of its start.
    """
    if COMPLETE not in os.environ:
        match sys.argv[1:]:
            case ["run", "--state", state] if state:
                from kos_edge.cli.service import serve

                sys.exit(serve(Path(state)))
    from kos_edge.cli.entry import begin

    begin(sys.argv[1:])
