"""A daemon's life: load the agents, run the node, answer on the control socket, stop on a signal."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kos_edge.agents.agent import Agent
from kos_edge.agents.loader import load
from kos_edge.control.server import ControlServer
from kos_edge.node.config import Config
from kos_edge.node.config_sources import load_config
from kos_edge.node.kept_config import load_kept
from kos_edge.node.logs import start_logging
from kos_edge.node.node import Node
from kos_edge.node.operations import NodeOperations
from kos_edge.node.reporting import warnings
from kos_edge.node.statedir import StateDir, default_state
from kos_edge.node.supervised import ServiceManager

if TYPE_CHECKING:
    from kos_edge.node.monitoring import Monitoring

log = logging.getLogger(__name__)


def run(
    state: Path,
    agents: Sequence[Path],
    listen: Sequence[str] = (),
    interfaces: Sequence[str] = (),
    peers: Sequence[str] = (),
    config: Path | None = None,
) -> int:
    """Run a node until it is stopped; the exit code. `listen`, `interfaces`, `peers` replace what is configured.

    Raises KosError before anything has started: a bad configuration, an agent that does not load, a state in use.
    """
    home = StateDir.open(state)
    settings = (
        load_kept(home.config_file, keep=state) if config is None else load_config(config, required=True)
    )
    network = settings.network
    network = replace(
        network,
        listen=tuple(listen) or network.listen,
        interfaces=tuple(interfaces) or network.interfaces,
        peers=tuple(peers) or network.peers,
    )
    settings = replace(settings, network=network)
    base = (config or home.config_file).parent
    files = [*(base / name for name in settings.node.agents), *agents]
    loaded = {file: load(file) for file in files}
    start_logging(settings.log.level, settings.log.format)
    asyncio.run(_serve(state, settings, loaded))
    return 0


def run_agents(agents: Sequence[Agent], state: Path | str | None = None) -> None:
    """Run these agents in a node of their own until interrupted: what `Agent.run` does."""
    path = Path(state) if state is not None else default_state(os.environ, os.getuid())
    home = StateDir.open(path)
    settings = load_kept(home.config_file, keep=path)
    start_logging(settings.log.level, settings.log.format)
    asyncio.run(_serve(path, settings, {Path("agent"): list(agents)}))


async def _serve(state: Path, settings: Config, loaded: dict[Path, list[Agent]]) -> None:
    agents = [agent for each in loaded.values() for agent in each]
    node = Node(state, agents=agents, config=settings)
    node.agent_files = {agent.name: str(file) for file, each in loaded.items() for agent in each}
    loop = asyncio.get_running_loop()
    manager = ServiceManager()

    def stop() -> None:
        manager.say("STOPPING=1")
        node.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    operations = NodeOperations(node)
    server = ControlServer(node.state.control_socket, operations)
    monitoring = _monitoring(node, operations)

    async def ready() -> None:
        await server.start()
        if monitoring is not None:
            await monitoring.start()
        for warning in warnings(node):
            log.warning("%s", warning)
        where = ", ".join(str(address) for address in node.endpoint.bound)
        log.info("%s (%s) is running at %s", node.trust.name, node.trust.role.text, where)
        manager.say("READY=1", f"STATUS={node.trust.name} ({node.trust.role.text}) at {where}")
        watched.append(asyncio.create_task(manager.feed(node.pulse)))

    watched: list[asyncio.Task[None]] = []
    try:
        await node.run(on_ready=ready)
    finally:
        for task in watched:
            task.cancel()
        if monitoring is not None:
            await monitoring.close()
        await server.close()


def _monitoring(node: Node, operations: NodeOperations) -> Monitoring | None:
    """What answers over HTTP, where that is wanted; nobody else pays for its imports."""
    if node.config.monitor.listen is None:
        return None
    from kos_edge.node.monitoring import Monitoring

    return Monitoring(node, operations)
