"""A simulated computer: a state directory, a disk, a clock, a place on the network, and the daemon's own node on it."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from kos_edge.agents.agent import Agent
from kos_edge.klp.body import Data
from kos_edge.mesh.membership import Membership
from kos_edge.node.config import Config
from kos_edge.node.node import Node
from kos_edge.node.operations import NodeOperations
from kos_edge.node.starts import Start
from kos_edge.node.traces import Tracer
from kos_edge.testing.disk import Content, Disk
from kos_edge.testing.lab import VirtualWorker
from kos_edge.testing.loop import VirtualClock
from kos_edge.transport.memory import PORT, MemoryDatagrams, MemoryStreams, Network


class Place(Protocol):
    """Where machines stand: `kos_edge.testing.world.World`."""

    folder: Path
    seed: int
    network: Network


class Machine:
    """A computer with a state directory; a node is started on it, stopped, killed, and started again."""

    def __init__(self, world: Place, name: str, number: int, config: Config, *, streams: bool) -> None:
        self.name = name
        self.number = number
        self.config = config
        self.clock = VirtualClock()
        self.disk = Disk(random.Random(f"{world.seed} {name} disk"))
        self.acknowledged: list[str] = []
        """Ids of what was published here and acknowledged, in order: kept outside of any state."""
        self.state = world.folder / name
        self.brings = Start()
        """What its daemon brings to the next start."""
        self._world = world
        self._random = random.Random(f"{world.seed} {name}").randbytes
        self._streams = streams
        self._lives = 0
        self._node: Node | None = None
        self._late: Node | None = None
        self.tracer: Tracer | None = None
        """Who traces its messages from its next start on."""
        self._off = asyncio.Event()

    @property
    def address(self) -> str:
        """Where it is on the network: changed by giving it another number while it does not run."""
        return f"10.0.0.{self.number}"

    @property
    def running(self) -> bool:
        """Whether a node runs here."""
        return self._node is not None

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

    # -- life

    async def start(self, *agents: Agent, peers: Sequence[Machine] = ()) -> None:
        """Start a node; `peers` are given to it by hand. Raises what a daemon would end with."""
        addresses = tuple(f"{peer.address}:{PORT}" for peer in peers) or self.config.network.peers
        network = replace(self.config.network, listen=(f"{self.address}:{PORT}",), peers=addresses)
        self.config = replace(self.config, network=network)
        host = self._world.network.host(self.address)
        self.datagrams: MemoryDatagrams = host.datagrams()
        self.streams: MemoryStreams | None = host.streams() if self._streams else None
        self._off.clear()
        node = Node(
            self.state,
            agents=agents,
            config=self.config,
            clock=self.clock,
            carriers=[self.datagrams] if self.streams is None else [self.datagrams, self.streams],
            threaded=False,
            random=self._random,
            mount=self.disk.mount,
            worker=VirtualWorker,
            start=self.brings,
        )
        node.tracer = self.tracer
        await node.__aenter__()
        if self._off.is_set():
            self._late = node
        else:
            self._node = node

    async def stop(self) -> None:
        """Stop it in order."""
        try:
            await self.node.__aexit__(None, None, None)
        finally:
            self._node = None

    async def kill(self) -> None:
        """What SIGKILL does: nothing more leaves it, and the next start finds what was committed by now.

        The store works in place, so that between two callbacks nothing is half written.
        """
        left = self._next_state()
        shutil.copytree(self.state, left, ignore=_NOT_KEPT)
        self._end(silent=False)
        await self._bury(left)

    def lose_power(self, *, commit: int = 0) -> None:
        """Let the power fail in the middle of a commit, the next or a later one; `off` waits for it."""
        self.disk.cut_at(commit, self._lost_power)

    async def off(self, within: float) -> None:
        """Wait for the power cut; where nothing was committed for so many seconds, it happens between two commits."""
        try:
            async with asyncio.timeout(within):
                await self._off.wait()
        except TimeoutError:
            self.disk.cut_at(0, None)
            left = self._next_state()
            shutil.copytree(self.state, left, ignore=_NOT_KEPT)
            self._end(silent=True)
        else:
            left = self._left
        await self._bury(left)

    def _lost_power(self, synced: Content) -> None:
        self._end(silent=True)
        self._left = self._next_state()
        asyncio.get_running_loop().call_soon(self._tear, synced)

    def _tear(self, synced: Content) -> None:
        self.disk.left(synced, self.state, self._left)
        self._off.set()

    def _next_state(self) -> Path:
        self._lives += 1
        return self.state.with_name(f"{self.name}.{self._lives}")

    def _end(self, *, silent: bool) -> None:
        """From this moment nothing comes out of the process any more, whatever it still does."""
        self._node, self._late = None, self._node
        self.datagrams.unplug()
        if self.streams is not None:
            self.streams.unplug(silent=silent)

    async def _bury(self, left: Path) -> None:
        """Let what is left of the process end, on a state that nobody looks at any more."""
        self.state = left
        self.disk.ailment = None
        late, self._late = self._late, None
        if late is not None:
            await late.__aexit__(None, None, None)

    # -- messages

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


_NOT_KEPT = shutil.ignore_patterns("*.reserve")  # room for a full disk: made again at the start
