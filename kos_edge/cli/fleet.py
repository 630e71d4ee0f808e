"""The fleet as a hub's people read it: a line for each member, the worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kos_edge.cli.show import columns, size, span
from kos_edge.control.reports import HealthReport, PeerReport

_STATES = ("silent", "warning", "late", "ok", "unknown")
_HEADER = (
    "NAME",
    "ROLE",
    "STATE",
    "SEEN",
    "VERSION",
    "CPU",
    "MEMORY",
    "DISK",
    "TEMP",
    "QUEUE",
    "LINK",
    "WHY",
)


def badness(peer: PeerReport) -> tuple[int, bool]:
    """What sorts the worst first and leaves the rest in order; those that are no members last."""
    return (_STATES.index(peer["state"]) if peer["state"] in _STATES else len(_STATES), peer["name"] is None)


def fleet_text(peers: Sequence[PeerReport]) -> str:
    """All of them, and how many are how."""
    states = Counter(_state(peer) for peer in peers)
    return f"{columns(map(_row, peers), _HEADER)}\n\n" + ", ".join(
        f"{count:,} {state}" for state, count in states.items()
    )


def _row(peer: PeerReport) -> tuple[str, ...]:
    health = peer["health"]
    name = peer["name"] or peer["kid"].rsplit(":", 1)[-1][:12]
    link = peer["carrier"] or "yes" if peer["connected"] else "no"
    figures = ("-",) * 7 if health is None else _figures(health)
    return (name, peer["role"] or "-", _state(peer), *figures, link, peer["reason"] or "")


def _figures(health: HealthReport) -> tuple[str, ...]:
    degrees = health["temperature_c"]
    queue = f"{health['queue_messages']:,}"
    if health["queue_messages"]:
        queue += f", {size(health['queue_bytes'])}"
    return (
        f"{span(max(1.0, health['heard_s']))} ago",
        health["version"],
        _part(health["cpu"]),
        _part(health["memory"]),
        _part(health["disk"]),
        "-" if degrees is None else f"{degrees:.0f} °C",
        queue,
    )


def _state(peer: PeerReport) -> str:
    """How its heart is; of whoever is no member that."""
    return peer["state"] or peer["standing"]


def _part(part: float | None) -> str:
    return "-" if part is None else f"{part:.0%}"
