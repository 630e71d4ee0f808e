"""Whole nodes on a network in memory, in virtual time: the daemon's own code, many of them in one process."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kos_edge.agents.agent import Agent
from kos_edge.agents.schedule import seconds
from kos_edge.discovery.sighting import Found, Hint
from kos_edge.errors import Refused
from kos_edge.node.config import Config
from kos_edge.node.initialize import initialize
from kos_edge.node.sections import MonitorSection, NetworkSection
from kos_edge.testing.loop import EPOCH
from kos_edge.testing.machine import Machine
from kos_edge.transport.faults import Faults
from kos_edge.transport.memory import PORT, Network

PATIENCE = 120.0
"""Virtual seconds within which what should happen does, whatever the network does to it."""

TRIES = 5
"""How often a person would try to join over a bad network."""

_STEP = 0.02


class World:
    """Machines on one network. `async with World(tmp_path, seed=7, faults=…) as world`, in virtual time.

    Everything that is drawn by lot comes from `seed`.
    """

    def __init__(
        self, folder: Path, *, seed: int = 0, faults: Faults | None = None, network: Network | None = None
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.network = network or Network(seed=seed, faults=faults)
        self.machines: dict[str, Machine] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for machine in self.machines.values():
            if machine.running:
                await machine.stop()

    def machine(self, name: str, role: str = "edge", *, streams: bool = False, **sections: Any) -> Machine:
        """A computer with a new node on it, which is not started. `sections` are those of its configuration.

        Its heart beats only where they say so: it tells of the real machine, and no two runs would be the same.
        """
        sections = {"monitor": MonitorSection(heartbeat_s=0.0), **sections}
        config = Config(network=NetworkSection(mdns=False), **sections)
        machine = Machine(self, name, len(self.machines) + 1, config, streams=streams)
        shutil.copytree(_template(role, name), machine.state)
        self.machines[name] = machine
        return machine

    async def hub(self, name: str = "hub", *, streams: bool = False, **sections: Any) -> Machine:
        """A hub with a mesh of its own, running."""
        hub = self.machine(name, "hub", streams=streams, **sections)
        await hub.start()
        return hub

    async def member(
        self,
        hub: Machine,
        name: str,
        *agents: Agent,
        role: str = "edge",
        streams: bool = False,
        **sections: Any,
    ) -> Machine:
        """A node that has joined the hub's mesh by invitation, running, with a session to the hub."""
        machine = self.machine(name, role, streams=streams, **sections)
        await machine.start(*agents, peers=[hub])
        await self.join(machine, hub)
        await self.until(lambda: machine.linked(hub) and hub.linked(machine))
        return machine

    async def join(self, machine: Machine, hub: Machine) -> None:
        """Let it join by invitation, however often that has to be tried."""
        token = (await hub.operations.invite())["token"]
        for _ in range(TRIES):
            try:
                await machine.operations.join(token=token)
                break
            except Refused:
                continue  # with a flipped bit the hub's message_2 looks like that of another mesh
        await self.until(lambda: machine.node.trust.is_member)

    def sighting(self, machine: Machine) -> Found:
        """What mDNS would say of a node that runs."""
        trust = machine.node.trust
        prefix = None if trust.mesh is None else trust.mesh[:8]
        return Found(trust.kid, trust.role, prefix, (Hint(machine.address, PORT, PORT),))

    async def sleep(self, span: float | str) -> None:
        """Let time pass: seconds, or "8h"."""
        await asyncio.sleep(seconds(span))

    async def until(self, holds: Callable[[], object], within: float = PATIENCE) -> float:
        """Let time pass until something holds; the seconds that it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not holds():
            assert loop.time() - began < within, f"it did not happen within {within:g} s"
            await asyncio.sleep(_STEP)
        return loop.time() - began

    async def drained(self, *machines: Machine, within: float = PATIENCE) -> None:
        """Let time pass until these owe nobody anything."""
        await self.until(lambda: not any(m.node.writer.store.outbox.owed() for m in machines), within)

    async def settled(self) -> None:
        """Let sessions that were replaced end."""
        lingering = max(machine.node.peers.linger_s for machine in self.machines.values())
        await asyncio.sleep(2 * lingering)

    def isolate(self, machine: Machine) -> None:
        """Cut every wire of a machine."""
        for other in self.machines.values():
            if other is not machine:
                self.network.partition(machine.address, other.address)


@contextlib.asynccontextmanager
async def flapping(world: World, machine: Machine, *, up: float, down: float) -> AsyncIterator[None]:
    """Meanwhile the wires of a machine are cut and mended, for so many seconds each."""

    async def flap() -> None:
        while True:
            await asyncio.sleep(up)
            world.isolate(machine)
            await asyncio.sleep(down)
            world.network.heal()

    task = asyncio.create_task(flap())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        world.network.heal()


@cache
def _templates() -> tempfile.TemporaryDirectory[str]:
    """Where nodes that are made once wait to be copied; it goes with the process."""
    return tempfile.TemporaryDirectory(prefix="kos-edge-nodes-")


@cache
def _template(role: str, name: str) -> Path:
    """A new node. Making a hub takes a quarter of a second, on purpose, for its recovery file."""
    path = Path(_templates().name, f"{role}-{name}")
    lot = random.Random(f"{role} {name}").randbytes
    initialize(path, role, name, passphrase="of no importance", random=lot, wall=lambda: EPOCH - 86_400)
    return path
