"""kos-edge: an agent runtime for edge devices that loses nothing silently.

    from kos_edge import Agent, Node, Reading

Each name is imported when it is first asked for, so that a program pays only for what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .agents.agent import Agent as Agent
    from .agents.reading import Reading as Reading
    from .node.node import Node as Node

__version__ = "0.1.0"
__all__ = ["Agent", "Node", "Reading", "__version__"]

_HOME = {"Agent": ".agents.agent", "Reading": ".agents.reading", "Node": ".node.node"}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_HOME[name], __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
