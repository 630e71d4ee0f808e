"""The node: configuration, state directory, and the composition of every part. Nothing imports it but the faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kos_edge.node.daemon import run_agents as run_agents


def __getattr__(name: str) -> Any:
    if name == "run_agents":
        from kos_edge.node.daemon import run_agents

        return run_agents
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
