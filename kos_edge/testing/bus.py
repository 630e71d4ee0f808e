"""Nodes in memory: the bus that agents see, on links that can be cut, with no keys and no disks.

It keeps the promises of `kos_edge.agents.port`: what is published while a link is cut arrives when it is
mended, a handler that fails gets its message again, a call that has outlived its ttl is not delivered.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from kos_edge.agents.port import Delivery, Fate, Handler
from kos_edge.clock import Clock
from kos_edge.errors import Invalid, KosError, Misuse, Refused
from kos_edge.klp import body, cbor
from kos_edge.klp.body import Payload
from kos_edge.klp.message import Message, encode_message
from kos_edge.klp.stream import Class, Position, Stream
from kos_edge.klp.topic import check_filter, check_topic, matches

RETRY_AFTER = (1.0, 5.0, 15.0)
"""Seconds before a handler that failed gets its message again; after the last the message is a dead
letter.
"""

EPOCH = 1 << 32 | 1


@dataclass(slots=True)
class _Sent:
    """A message on its way to other nodes, as its sender sees it."""

    leaves: float
    expires: float
    waits_for: set[str]
    has_left: bool = False
    was_dropped: bool = False


@dataclass(slots=True)
class _Kept:
    """A message in a node's journal."""

    delivery: Delivery
    expires: float


class Network:
    """The nodes and the links between them. `delay` is the seconds that a message travels."""

    def __init__(self, clock: Clock, *, delay: float = 0.01) -> None:
        self.clock = clock
        self.delay = delay
        self.buses: dict[str, MemoryBus] = {}
        self._links: dict[str, asyncio.Event] = {}
        self._lanes: dict[tuple[str, str], asyncio.Queue[tuple[Delivery, _Sent]]] = {}
        self._couriers: list[asyncio.Task[None]] = []

    def bus(self, name: str, role: str = "edge") -> MemoryBus:
        """A new node on the network."""
        if name in self.buses:
            raise Misuse(f"two nodes are called {name}")
        bus = self.buses[name] = MemoryBus(self, name, role)
        self._links[name] = asyncio.Event()
        self._links[name].set()
        return bus

    def cut(self, name: str) -> None:
        """Nothing comes to this node or goes from it until it is mended."""
        self._links[name].clear()

    def mend(self, name: str) -> None:
        """The node is reached again; what waited arrives."""
        self._links[name].set()

    def carry(self, delivery: Delivery, sent: _Sent, source: str, target: str) -> None:
        """Bring one message to one node after all that went there before, however long a link is cut."""
        if (source, target) not in self._lanes:
            self._lanes[source, target] = asyncio.Queue()
            work = self._carry(source, target)
            self._couriers.append(asyncio.get_running_loop().create_task(work, name=f"{source} to {target}"))
        self._lanes[source, target].put_nowait((delivery, sent))

    async def close(self) -> None:
        """Stop carrying."""
        for task in self._couriers:
            task.cancel()
        await asyncio.gather(*self._couriers, return_exceptions=True)

    async def _carry(self, source: str, target: str) -> None:
        links = [self._links[source], self._links[target]]
        while True:
            delivery, sent = await self._lanes[source, target].get()
            while target in sent.waits_for and not sent.was_dropped:
                for link in links:
                    await link.wait()
                if self.clock.monotonic() >= sent.expires:
                    sent.was_dropped = True
                elif all(link.is_set() for link in links):
                    sent.has_left = True
                    await asyncio.sleep(sent.leaves + self.delay - self.clock.monotonic())
                    if all(link.is_set() for link in links):
                        sent.waits_for.discard(target)
                        self.buses[target].receive(delivery, sent.expires)


class MemoryBus:
    """One node's bus.

    `published` is all that it published itself, `journal` all that its subscribers can see.
    """

    def __init__(self, network: Network, name: str, role: str) -> None:
        self.role = role
        self.kid = hashlib.sha256(name.encode()).digest()[:16]
        self.published: list[Delivery] = []
        self.journal: list[_Kept] = []
        self.dead: list[tuple[Delivery, str]] = []
        """What no handler would take, and why."""
        self.secrets: dict[str, bytes] = {}
        """What is in its vault; every agent gets all of it."""
        self._network = network
        self._name = name
        self._sequence: dict[str, int] = {}
        self._sent: dict[str, _Sent] = {}
        self._cursors: dict[str, int] = {}
        self._outcomes: dict[str, bytes] = {}
        self._waiting: set[asyncio.Event] = set()

    @property
    def clock(self) -> Clock:
        return self._network.clock

    @property
    def node_name(self) -> str:
        return self._name

    def secret(self, agent: str, name: str) -> bytes:
        if name not in self.secrets:
            raise Invalid(f"there is no secret {name!r} in the vault")
        return self.secrets[name]

    def audience(self, node: str | None) -> str | None:
        if node == self._name or (node is None and self.role == "hub"):
            return None
        if node is None:
            return "hub"
        if node not in self._network.buses:
            raise Refused(f"no member is called {node}", hint=f"there are {', '.join(self._network.buses)}")
        return f"kid:{self._network.buses[node].kid.hex()}"

    async def publish(
        self,
        topic: str,
        payload: Payload,
        *,
        audience: str | None = None,
        at: float | None = None,
        ttl_s: int | None = None,
        correlation: str | None = None,
    ) -> str:
        check_topic(topic)
        encode_message(Message(topic, payload, ttl_s=ttl_s, correlation=correlation), 0)
        as_received = body.from_wire(payload.TYPE, cbor.decode(cbor.encode(payload.to_wire())))
        to = audience or "hub"
        self._sequence[to] = seq = self._sequence.get(to, 0) + 1
        delivery = Delivery(
            id=str(Position(Stream(self.kid, to, Class(), EPOCH), seq)),
            source_kid=self.kid,
            source_name=self._name,
            topic=topic,
            seq=seq,
            at=self.clock.wall() if at is None else at,
            payload=as_received,
            uncertainty=0.0,
            correlation=correlation,
        )
        self.published.append(delivery)
        expires = math.inf if ttl_s is None else self.clock.monotonic() + ttl_s
        others = [bus for bus in self._network.buses.values() if bus is not self and bus.is_in(to)]
        names = {bus.node_name for bus in others}
        sent = self._sent[delivery.id] = _Sent(self.clock.monotonic(), expires, names)
        for name in sorted(names):
            self._network.carry(delivery, sent, self._name, name)
        if audience is None or self.is_in(audience):
            self.receive(delivery, expires)
        return delivery.id

    async def publish_all(
        self,
        topic: str,
        payloads: Sequence[Payload],
        *,
        at: Sequence[float] | None = None,
        ttl_s: int | None = None,
    ) -> list[str]:
        for payload in payloads:  # all or none
            encode_message(Message(topic, payload, ttl_s=ttl_s), 0)
        moments: Sequence[float | None] = at or [None] * len(payloads)
        return [
            await self.publish(topic, payload, at=moment, ttl_s=ttl_s)
            for payload, moment in zip(payloads, moments, strict=True)
        ]

    def subscribe(self, filter: str, handler: Handler, *, name: str) -> MemorySubscription:
        check_filter(filter)
        self._cursors.setdefault(name, len(self.journal))
        return MemorySubscription(self, filter, handler, name)

    def fate(self, id: str) -> Fate:
        sent = self._sent[id]
        if not sent.has_left and (sent.was_dropped or self.clock.monotonic() >= sent.expires):
            return Fate.EXPIRED
        if not sent.has_left:
            return Fate.QUEUED
        return Fate.SENT if sent.waits_for else Fate.DELIVERED

    async def remember(self, id: str, outcome: bytes) -> None:
        self._outcomes[id] = outcome

    async def recall(self, id: str) -> bytes | None:
        return self._outcomes.get(id)

    def is_in(self, audience: str) -> bool:
        """Whether this node belongs to an audience."""
        return audience in ("all", self.role, f"kid:{self.kid.hex()}")

    def receive(self, delivery: Delivery, expires: float) -> None:
        """Put a message into the journal, from which the subscribers take it."""
        self.journal.append(_Kept(delivery, expires))
        for waiting in self._waiting:
            waiting.set()

    async def next_for(self, name: str) -> _Kept:
        """The first message at a cursor, as soon as there is one."""
        news = asyncio.Event()
        self._waiting.add(news)
        try:
            while self._cursors[name] >= len(self.journal):
                news.clear()
                await news.wait()
            return self.journal[self._cursors[name]]
        finally:
            self._waiting.discard(news)

    def handled(self, name: str) -> None:
        """Move a cursor on."""
        self._cursors[name] += 1


@dataclass(slots=True)
class MemorySubscription:
    """One handler with its cursor; ends when closed."""

    bus: MemoryBus
    filter: str
    handler: Handler
    name: str
    _task: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"subscription {self.name}")

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            kept = await self.bus.next_for(self.name)
            if matches(self.filter, kept.delivery.topic):
                await self._hand_over(kept)
            self.bus.handled(self.name)

    async def _hand_over(self, kept: _Kept) -> None:
        for wait in (*RETRY_AFTER, None):
            left = kept.expires - self.bus.clock.monotonic()
            if left <= 0:
                return
            try:
                await self.handler(replace(kept.delivery, ttl_left=None if math.isinf(left) else left))
            except KosError as error:
                if wait is None:
                    self.bus.dead.append((kept.delivery, error.message))
                    return
                await asyncio.sleep(wait)
            else:
                return
