"""The figures of this node over HTTP: /metrics for Prometheus, /healthz for probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kos_edge.errors import Unavailable
from kos_edge.mesh.claims import Role
from kos_edge.monitor import exposition, process
from kos_edge.monitor.figures import Extra, LinkFigures, families
from kos_edge.monitor.http import HttpServer, Reply
from kos_edge.node.addresses import parse_http
from kos_edge.node.operations import NodeOperations

if TYPE_CHECKING:
    from kos_edge.node.node import Node

NOT_TAKEN = ("invalid", "refused", "quarantined", "told to wait", "trust withheld")
"""The counters of `Inbound` that say why something was not taken."""


class Monitoring:
    """Serves one running node. Nothing of it costs anything while nobody asks."""

    def __init__(self, node: Node, operations: NodeOperations) -> None:
        self._node = node
        self._operations = operations
        names = frozenset(name.lower() for name in node.config.monitor.names)
        self._server = HttpServer({"/metrics": self._metrics, "/healthz": self._health}, names=names)
        self.port = 0

    async def start(self) -> None:
        """Listen where the configuration says. Raises Unavailable where that is taken."""
        assert self._node.config.monitor.listen is not None
        self.port = await self._server.start(*parse_http(self._node.config.monitor.listen))

    async def close(self) -> None:
        """Stop listening."""
        await self._server.close()

    async def _metrics(self) -> Reply:
        status = await self._operations.status()
        peers = await self._operations.peers()
        page = exposition.page(families(status, peers, self._extra(), process.figures()))
        return Reply(page, exposition.CONTENT_TYPE)

    async def _health(self) -> Reply:
        status = await self._operations.status()
        if status["health"] != "good":
            raise Unavailable("; ".join(status["warnings"]) or "degraded")
        return Reply(b"good\n")

    def _extra(self) -> Extra:
        node = self._node
        stamp = node.uptime.stamp()
        links = [
            LinkFigures(
                peer=link.peer.name,
                carrier=link.carrier,
                window=link.courier.window.most if link.courier.window.reliable else link.courier.window.size,
                round_trip_s=link.courier.window.smoothed,
                shipments=link.courier.counters.shipments,
                again=link.courier.counters.again,
            )
            for link in node.peers.links.values()
        ]
        return Extra(
            links=links,
            offline_s=None if node.trust.role is Role.HUB else node.peers.offline_s(),
            clock_uncertainty_s=None if stamp.uncertainty_ms is None else stamp.uncertainty_ms / 1000,
            answered=node.handshakes.answered,
            initiated=node.handshakes.succeeded,
            not_taken={reason: node.inbound.counters[reason] for reason in NOT_TAKEN},
        )
