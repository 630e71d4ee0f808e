"""A lab for agents: nodes in memory, in virtual time, with everything that they publish at hand.

@in_virtual_time
async def test_the_fan_starts_above_thirty():
    async with Lab() as lab:
        node = lab.node("greenhouse")
        node.run(agent)
        await node.publish("greenhouse.air.temperature", 31, unit="Cel")
        await lab.advance("1s")
        assert node.values("fan.speed") == [1.0]
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, Self, TypeVar

from kos_edge.agents.agent import Agent
from kos_edge.agents.calls import CALL_TIMEOUT, Call
from kos_edge.agents.check import check
from kos_edge.agents.host import Host
from kos_edge.agents.payload import Fields, payload_of
from kos_edge.agents.reading import Reading
from kos_edge.agents.schedule import seconds
from kos_edge.agents.tally import AgentStatus
from kos_edge.agents.worker import ThreadWorker
from kos_edge.clock import Clock
from kos_edge.errors import Misuse
from kos_edge.testing.bus import MemoryBus, Network
from kos_edge.testing.loop import VirtualClock, VirtualLoop, run_virtual

P = ParamSpec("P")
T = TypeVar("T")

_A_MOMENT = 1e-6
"""Seconds added to the end of an advance, so that what is due at that very moment has happened."""


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an `async def` test an ordinary one in which waiting takes no time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtual(test(*args, **kwargs))

    return run


class Lab:
    """Some nodes and the links between them. Use it as `async with Lab() as lab`, in virtual time."""

    def __init__(self, *, delay: float | str = "10ms") -> None:
        self._delay = seconds(delay)
        self._nodes: dict[str, LabNode] = {}
        self._elapsed = 0.0

    async def __aenter__(self) -> Self:
        loop = _virtual_loop()
        self.clock = VirtualClock(loop)
        """The nodes' clock; `step_wall` moves its wall clock alone."""
        self._network = Network(self.clock, delay=self._delay)
        self._began = loop.time()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            for node in self._nodes.values():
                await node.stop()
        finally:
            await self._network.close()

    def node(self, name: str, *, role: str = "edge") -> LabNode:
        """The node of that name; it is made when first asked for.

        One with `role="hub"` gets what is published.
        """
        if name not in self._nodes:
            self._nodes[name] = LabNode(self._network.bus(name, role))
        return self._nodes[name]

    async def advance(self, duration: float | str) -> None:
        """Let time pass, and everything happen that is due by then."""
        for node in self._nodes.values():
            await node.started()
        self._elapsed += seconds(duration)
        end = self._began + self._elapsed + _A_MOMENT
        await asyncio.sleep(max(0.0, end - self.clock.monotonic()))

    def cut(self, name: str) -> None:
        """Cut a node off the network."""
        self._network.cut(name)

    def mend(self, name: str) -> None:
        """Reach it again; what waited arrives."""
        self._network.mend(name)


class LabNode:
    """One node of a lab: runs agents, and shows what they publish."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.host = Host(bus, worker=VirtualWorker, watchdog=False)
        self._starting = [asyncio.get_running_loop().create_task(self.host.start())]

    @property
    def name(self) -> str:
        return self.bus.node_name

    def keep_secret(self, name: str, secret: str | bytes) -> None:
        """Put a secret into its vault, for all its agents."""
        self.bus.secrets[name] = secret.encode() if isinstance(secret, str) else secret

    def run(self, *agents: Agent) -> None:
        """Run agents from now on. Raises Invalid when one cannot work as it is declared."""
        for agent in agents:
            check(agent)
        self._starting.append(asyncio.get_running_loop().create_task(self._start(agents)))

    async def started(self) -> None:
        """Wait until the agents have started; raises what went wrong."""
        while self._starting:
            await self._starting.pop(0)

    async def stop(self, agent: Agent | None = None) -> None:
        """Stop one agent, or all for good: commands take their safe values, resources are closed."""
        await self.started()
        if agent is not None:
            await self.host.remove(agent.name)
        else:
            await self.host.close()

    @property
    def published(self) -> dict[str, list[Reading]]:
        """All that this node has published itself, by topic, oldest first; an empty list where there is
        nothing.
        """
        found = _Published()
        for delivery in self.bus.published:
            found.setdefault(delivery.topic, []).append(Reading.of(delivery))
        return found

    @property
    def received(self) -> dict[str, list[Reading]]:
        """All that has reached this node from others, in the same form."""
        found = _Published()
        for kept in self.bus.journal:
            if kept.delivery.source_kid != self.bus.kid:
                found.setdefault(kept.delivery.topic, []).append(Reading.of(kept.delivery))
        return found

    def values(self, topic: str) -> list[Any]:
        """The plain values that this node has published on a topic."""
        return [reading.value for reading in self.published[topic]]

    async def publish(
        self, topic: str, value: Any, *, unit: str | None = None, fields: Fields | None = None
    ) -> str:
        """Publish in the node's own name, as another agent on it would."""
        await self.started()
        payload = payload_of(value, unit, fields)
        if payload is None:
            raise Misuse("None is nothing to publish")
        return await self.bus.publish(topic, payload)

    def call(
        self,
        action: str,
        /,
        *,
        node: str | None = None,
        timeout: float | str = CALL_TIMEOUT,
        ttl: float | str | None = None,
        **params: Any,
    ) -> Call:
        """Call a command as an agent of this node would: see `Agent.call`."""
        ttl_s = None if ttl is None else seconds(ttl)
        return self.host.call(action, params, node=node, timeout_s=seconds(timeout), ttl_s=ttl_s)

    def status(self, agent: Agent) -> AgentStatus:
        """What is known of an agent on this node."""
        return self.host.status()[agent.name]

    async def _start(self, agents: tuple[Agent, ...]) -> None:
        for agent in agents:
            await self.host.add(agent)


class VirtualWorker(ThreadWorker):
    """The thread of an agent in virtual time: while an ordinary function runs, time stands still."""

    def __init__(self, name: str, clock: Clock) -> None:
        super().__init__(name, clock)
        self._turn = asyncio.Lock()
        self._outside: AbstractContextManager[None] | None = None

    async def run(self, label: str, function: Callable[[], T]) -> T:
        async with self._turn:
            self._leave()
            try:
                return await super().run(label, function)
            finally:
                self._come_back()

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        async def inside() -> T:
            self._come_back()
            try:
                return await work
            finally:
                self._leave()

        return super().wait_for(inside())

    async def close(self, within: float) -> bool:
        self._leave()
        try:
            return await super().close(within)
        finally:
            self._come_back()

    def _leave(self) -> None:
        self._outside = _virtual_loop().outside()
        self._outside.__enter__()

    def _come_back(self) -> None:
        if self._outside is not None:
            self._outside.__exit__(None, None, None)
            self._outside = None


class _Published(dict[str, list[Reading]]):
    def __missing__(self, topic: str) -> list[Reading]:
        return []


def _virtual_loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise Misuse("a lab works in virtual time", hint="decorate the test with @in_virtual_time")
    return loop
