"""A daemon's life: load the agents, run the node, answer on the control socket, stop on a signal."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from kos_edge.agents.agent import Agent
from kos_edge.agents.loader import load
from kos_edge.bootstrap.sequence import Mode
from kos_edge.control.remote import ADMIN_PATH
from kos_edge.control.server import ControlServer
from kos_edge.errors import Unavailable
from kos_edge.monitor.process import give_back
from kos_edge.node.administration import Administration
from kos_edge.node.config import BadConfiguration, Config
from kos_edge.node.config_sources import load_config
from kos_edge.node.installed import installation
from kos_edge.node.kept_config import load_kept
from kos_edge.node.logs import FLUSH_S, Quiet, start_logging
from kos_edge.node.node import Node
from kos_edge.node.operations import NodeOperations
from kos_edge.node.reporting import warnings
from kos_edge.node.starts import Start, boot_id, fails_again, fingerprint
from kos_edge.node.statedir import StateDir, default_state
from kos_edge.node.supervised import ServiceManager
from kos_edge.said import Said
from kos_edge.system import user_id

if TYPE_CHECKING:
    from kos_edge.node.monitoring import Monitoring
    from kos_edge.node.tracing import OpenTelemetry

log = logging.getLogger(__name__)


def run(
    state: Path,
    agents: Sequence[Path],
    listen: Sequence[str] = (),
    interfaces: Sequence[str] = (),
    peers: Sequence[str] = (),
    config: Path | None = None,
    mode: Mode | None = None,
) -> int:
    """Run a node until it is stopped; the exit code. `listen`, `interfaces`, `peers` replace what is configured.

    Raises KosError where it does not come up: a bad configuration, an agent that does not load, a state in use. Three
    times in a row, and the next start is in safe mode (`bootstrap.sequence`).
    """
    home = StateDir.open(state)
    manager = ServiceManager()
    settings = _settings(home, manager, agents) if config is None else load_config(config, required=True)
    as_written, network = settings, settings.network
    network = replace(
        network,
        listen=tuple(listen) or network.listen,
        interfaces=tuple(interfaces) or network.interfaces,
        peers=tuple(peers) or network.peers,
    )
    settings = replace(settings, network=network)
    base = (config or home.config_file).parent
    files = [*(base / name for name in settings.node.agents), *agents]
    quiet = start_logging(settings.log.level, settings.log.format)
    sources: dict[str, str] = {}

    def employ() -> list[Agent]:
        loaded = {file: load(file) for file in files}
        sources.update({agent.name: str(file) for file, each in loaded.items() for agent in each})
        return [agent for each in loaded.values() for agent in each]

    start = _start(as_written, manager, [config or home.config_file, *files], employ, mode)
    if asyncio.run(_serve(state, settings, start, manager, sources, quiet)):
        _begin_again()
    return 0


def run_agents(agents: Sequence[Agent], state: Path | str | None = None) -> None:
    """Run these agents in a node of their own until interrupted: what `Agent.run` does."""
    path = Path(state) if state is not None else default_state(os.environ, user_id())
    home = StateDir.open(path)
    manager, program = ServiceManager(), Path(sys.argv[0])
    settings = _settings(home, manager, [program])
    quiet = start_logging(settings.log.level, settings.log.format)
    sources = {agent.name: "agent" for agent in agents}
    start = _start(settings, manager, [home.config_file, program], lambda: list(agents), None)
    if asyncio.run(_serve(path, settings, start, manager, sources, quiet)):
        _begin_again()


def _settings(home: StateDir, manager: ServiceManager, files: Sequence[Path]) -> Config:
    """The configuration, or the last good one. Where there is none: the defaults, once safe mode is due."""
    try:
        return load_kept(home.config_file, keep=home.path)
    except BadConfiguration as error:
        defaults = Config(trouble=f"{error.message}: recovery mode runs with the defaults")
        start = _start(defaults, manager, [home.config_file, *files], list, None)
        if not fails_again(home, start, error):
            raise
        return defaults


def _start(
    settings: Config,
    manager: ServiceManager,
    files: Sequence[Path],  # the configuration, then the agents'
    employ: Callable[[], list[Agent]],
    mode: Mode | None,
) -> Start:
    how = settings.bootstrap.safe_mode
    return Start(
        load=employ,
        settings=fingerprint(settings, files),
        mode=mode,
        root=installation(),
        counts=how == "always" or (how == "supervised" and manager.listens),
        kept=True,
        boot=boot_id(),
        agents=tuple(files[1:]),
    )


def _begin_again() -> NoReturn:
    """Another bootstrap: the same command in the same process, with nothing left of this life."""
    sys.stdout.flush()
    logging.shutdown()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


async def _serve(
    state: Path,
    settings: Config,
    start: Start,
    manager: ServiceManager,
    sources: dict[str, str],
    quiet: Quiet,
) -> bool:
    """One life of the daemon; whether another is to follow at once."""
    node = Node(state, config=settings, start=start)
    node.agent_files = sources
    tracing = _tracing(node)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        manager.say("STOPPING=1")
        node.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    operations = NodeOperations(node)
    server = ControlServer(node.state.control_socket, operations)
    monitoring = _monitoring(node, operations)

    async def ready() -> None:
        node.inbound.resources[ADMIN_PATH] = Administration(node, operations).answer
        await server.start()
        if monitoring is not None:
            await monitoring.start()
        for warning in warnings(node):
            log.warning("%s", warning, extra=Said.WARNING.of())
        where = ", ".join(str(address) for address in node.endpoint.bound)
        name, role = node.trust.name, node.trust.role.text
        log.info("%s (%s) is running at %s", name, role, where, extra=Said.STARTED.of())
        manager.say("READY=1", f"STATUS={node.trust.name} ({node.trust.role.text}) at {where}")
        watched.append(asyncio.create_task(manager.feed(node.pulse)))
        watched.append(asyncio.create_task(_count_repeats(quiet)))
        give_back()

    watched: list[asyncio.Task[None]] = []
    try:
        await node.run(on_ready=ready)
    finally:
        for task in watched:
            task.cancel()
        if monitoring is not None:
            await monitoring.close()
        await server.close()
        if tracing is not None:
            await asyncio.to_thread(tracing.close)
    if node.startup.again:
        manager.say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
    return node.startup.again


async def _count_repeats(quiet: Quiet) -> None:
    while True:
        await asyncio.sleep(FLUSH_S)
        quiet.flush()


def _tracing(node: Node) -> OpenTelemetry | None:
    """What traces messages, where that is wanted; nobody else pays for its imports. Raises Unavailable."""
    if node.config.trace.endpoint is None:
        return None
    try:
        from kos_edge.node.tracing import OpenTelemetry
    except ImportError as error:
        text = f"[trace] needs OpenTelemetry, which is not installed ({error.name})"
        raise Unavailable(text, hint="pip install 'kos-edge[trace]'") from None
    node.tracer = tracing = OpenTelemetry(
        node.config.trace, node=lambda: node.trust.name, name_of=lambda kid: node.trust.name_of(kid)
    )
    return tracing


def _monitoring(node: Node, operations: NodeOperations) -> Monitoring | None:
    """What answers over HTTP, where that is wanted; nobody else pays for its imports."""
    if node.config.monitor.listen is None:
        return None
    from kos_edge.node.monitoring import Monitoring

    return Monitoring(node, operations)
