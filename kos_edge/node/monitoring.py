"""The figures of this node over HTTP: /metrics for Prometheus, /healthz for probes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kos_edge.errors import Invalid, Unavailable
from kos_edge.mesh.claims import Role
from kos_edge.monitor import exposition, process
from kos_edge.monitor.figures import Extra, LinkFigures, families
from kos_edge.monitor.http import HttpServer, Page, Question, Reply
from kos_edge.monitor.readings import MIN_TOKEN, Readings
from kos_edge.node.addresses import parse_http
from kos_edge.node.operations import NodeOperations
from kos_edge.node.vaulting import read_secret

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
        pages: dict[str, Page] = {"/metrics": self._metrics, "/healthz": self._health}
        if node.config.monitor.token_file is not None:
            pages |= Readings(operations, _token(node.state.path / node.config.monitor.token_file)).pages
        self._server = HttpServer(pages, names=names)
        self.port = 0

    async def start(self) -> None:
        """Listen where the configuration says. Raises Unavailable where that is taken."""
        assert self._node.config.monitor.listen is not None
        self.port = await self._server.start(*parse_http(self._node.config.monitor.listen))

    async def close(self) -> None:
        """Stop listening."""
        await self._server.close()

    async def _metrics(self, _: Question) -> Reply:
        status = await self._operations.status()
        peers = await self._operations.peers()
        page = exposition.page(families(status, peers, self._extra(), process.figures()))
        return Reply(page, exposition.CONTENT_TYPE)

    async def _health(self, _: Question) -> Reply:
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
            card=node.wearing.report(),
            silences=node.heart.fleet.silences if node.trust.role is Role.HUB else None,
            member_figures=node.config.monitor.member_figures,
        )


def _token(path: Path) -> bytes:
    """The token in a file. Raises Unavailable, Refused where others may read it, Invalid where it is too short."""
    try:
        token = read_secret(path).split(b"\n", 1)[0].strip()
    except FileNotFoundError:
        hint = f"head -c 24 /dev/urandom | base64 > {path}; chmod 600 {path}"
        raise Unavailable(f"there is no {path} with the token of [monitor] token-file", hint=hint) from None
    if len(token) < MIN_TOKEN:
        raise Invalid(f"the token in {path} has {len(token)} characters, it needs at least {MIN_TOKEN}")
    return token
