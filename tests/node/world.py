"""Whole nodes on a network in memory, in virtual time: what the tests of the node and of its faults stand on."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kos_edge.agents.agent import Agent
from kos_edge.cli.demo.ledger import Ledger, compare
from kos_edge.discovery.sighting import Found, Hint
from kos_edge.errors import Refused
from kos_edge.klp.body import Data
from kos_edge.mesh.membership import Membership
from kos_edge.node.config import Config
from kos_edge.node.initialize import initialize
from kos_edge.node.node import Node
from kos_edge.node.operations import NodeOperations
from kos_edge.node.peers import LINGER_S
from kos_edge.node.sections import NetworkSection
from kos_edge.testing.loop import EPOCH, VirtualClock
from kos_edge.transport.faults import Faults
from kos_edge.transport.memory import PORT, MemoryDatagrams, Network

PATIENCE = 120.0
"""Virtual seconds within which what should happen does, whatever the network does to it."""

TRIES = 5
"""How often a person would try to join over a bad network."""

_STEP = 0.02


class Machine:
    """A computer with a state directory; a node is started on it, stopped, killed, and started again."""

    def __init__(self, world: World, name: str, number: int, config: Config, *, streams: bool) -> None:
        self.name = name
        self.number = number
        self.config = config
        self.clock = VirtualClock()
        self.acknowledged: list[str] = []
        """Ids of what was published here and acknowledged, in order: kept outside of any state."""
        self.state = world.folder / name
        self._world = world
        self._random = random.Random(f"{world.seed} {name}").randbytes
        self._streams = streams
        self._starts = 0
        self._node: Node | None = None

    @property
    def address(self) -> str:
        """Where it is on the network: changed by giving it another number while it does not run."""
        return f"10.0.0.{self.number}"

    @property
    def node(self) -> Node:
        """The node that runs here."""
        assert self._node is not None, f"{self.name} does not run"
        return self._node

    @property
    def operations(self) -> NodeOperations:
        """What people may ask of it."""
        return NodeOperations(self.node)

    @property
    def kid(self) -> bytes:
        return self.node.trust.kid

    @property
    def mesh(self) -> bytes:
        """The mesh that its node belongs to."""
        mesh = self.node.trust.mesh
        assert mesh is not None, f"{self.name} is in no mesh"
        return mesh

    @property
    def membership(self) -> Membership:
        """Its node's."""
        member = self.node.trust.membership
        assert member is not None, f"{self.name} is no member"
        return member

    @property
    def handshakes(self) -> int:
        """How many have succeeded since it started, in either role."""
        return self.node.handshakes.succeeded + self.node.handshakes.answered

    def linked(self, *others: Machine) -> bool:
        """Whether a link serves each of the others."""
        return all(other.kid in self.node.peers.links for other in others)

    async def start(self, *agents: Agent, peers: Sequence[Machine] = ()) -> None:
        """Start a node; `peers` are given to it by hand."""
        addresses = tuple(f"{peer.address}:{PORT}" for peer in peers) or self.config.network.peers
        network = replace(self.config.network, listen=(f"{self.address}:{PORT}",), peers=addresses)
        self.config = replace(self.config, network=network)
        host = self._world.network.host(self.address)
        self.datagrams: MemoryDatagrams = host.datagrams()
        node = Node(
            self.state,
            agents=agents,
            config=self.config,
            clock=self.clock,
            carriers=[self.datagrams, host.streams()] if self._streams else [self.datagrams],
            threaded=False,
            random=self._random,
        )
        await node.__aenter__()
        self._node = node

    async def stop(self) -> None:
        """Stop it in order."""
        node, self._node = self.node, None
        await node.__aexit__(None, None, None)

    async def kill(self) -> None:
        """What SIGKILL does: nothing more leaves it, and the next start finds what was committed by now.

        The store works in place, so that between two callbacks nothing is half written.
        """
        self._starts += 1
        left = self.state.with_name(f"{self.name}.{self._starts}")
        shutil.copytree(self.state, left)
        self.state = left
        await self.datagrams.close()
        await self.stop()

    async def publish(self, topic: str, *values: object, audience: str | None = None) -> list[str]:
        """Publish the values together; their ids, once they are acknowledged."""
        node = self.node
        futures = [
            node.publisher.enqueue(topic, Data(value), audience=audience, linger_s=0.0) for value in values
        ]
        ids = [str(position) for position in await asyncio.gather(*futures)]
        if self._node is node:  # what a killed process says is not heard
            self.acknowledged += ids
        return ids

    async def received(self) -> list[str]:
        """The ids in its journal, in order."""
        return [heard.delivery.id async for heard in self.node.feed.messages(0, follow=False)]

    async def values(self) -> list[object]:
        """The plain values in its journal, in order."""
        entries = self.node.feed.messages(0, follow=False)
        return [
            heard.delivery.payload.value()
            async for heard in entries
            if isinstance(heard.delivery.payload, Data)
        ]


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
            if machine._node is not None:
                await machine.stop()

    def machine(self, name: str, role: str = "edge", *, streams: bool = False, **sections: Any) -> Machine:
        """A computer with a new node on it, which is not started. `sections` are those of its configuration."""
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
        await self.until(lambda: all(not m.node.writer.store.outbox.usage.messages for m in machines), within)

    async def settled(self) -> None:
        """Let sessions that were replaced end."""
        await asyncio.sleep(3 * LINGER_S)

    def isolate(self, machine: Machine) -> None:
        """Cut every wire of a machine."""
        for other in self.machines.values():
            if other is not machine:
                self.network.partition(machine.address, other.address)

    async def ledger(self, senders: Sequence[Machine], receiver: Machine) -> Ledger:
        """Stop them all and compare their journals; raises if an acknowledged message is not accounted for."""
        for machine in (*senders, receiver):
            if machine._node is not None:
                await machine.stop()
        return compare([sender.state for sender in senders], receiver.state)


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
