"""The bus that agents stand on, over this node's publisher, feed and store."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Sequence

from kos_edge.agents.outcome import ANSWER_TOPIC, CALL_TOPIC
from kos_edge.agents.port import Fate, Handler
from kos_edge.bootstrap.registration import TOPIC as REGISTRATION_TOPIC
from kos_edge.clock import Clock
from kos_edge.delivery.limits import Limit
from kos_edge.errors import Invalid, Refused
from kos_edge.klp.body import Payload
from kos_edge.klp.pack import Class, Position, Priority
from kos_edge.mesh.claims import Role
from kos_edge.node.accepted import LATEST
from kos_edge.node.feed import Feed, Subscriber
from kos_edge.node.publisher import Publisher, Terms
from kos_edge.node.sections import TopicSettings
from kos_edge.node.settling import Settling
from kos_edge.node.trust import Trust
from kos_edge.node.uptime import Uptime
from kos_edge.node.vaulting import NodeVault
from kos_edge.store.writer import Writer

CALL_CLASS = Class(Priority.HIGH)
FATES = 4_096  # messages with a ttl whose end is remembered; of an older one nothing is claimed

_ORDER = {"in-order": False, "fresh-first": True}


def terms_of(topic: str, settings: TopicSettings) -> Terms:
    """How a topic is treated: commands and their answers go at once, the rest as the configuration says."""
    if topic.startswith((CALL_TOPIC + ".", ANSWER_TOPIC + ".")):
        return Terms("hub", CALL_CLASS, 0.0, None)
    if topic == REGISTRATION_TOPIC:
        return Terms("hub", Class(Priority.NORMAL), 0.0, None)
    cls = Class(Priority[settings.priority.upper()], settings.durability == "durable", _ORDER[settings.order])
    ttl = None if settings.ttl_s is None else max(1, round(settings.ttl_s))
    limited = settings.max_messages is not None or settings.max_bytes is not None
    limit = Limit(settings.max_messages, settings.max_bytes) if limited else None
    latest = settings.keep == "latest" and cls.durable
    return Terms(settings.audience, cls, settings.effective_linger_s, ttl, limit, latest)


class NodeSubscription:
    """One handler of one agent, reading the feed in its own task."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._task = asyncio.get_running_loop().create_task(subscriber.run())

    async def close(self) -> None:
        """Stop; what is being handled is cancelled, the cursor stays."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


class NodeBus:
    """`agents.port.Bus` on a node."""

    def __init__(
        self,
        clock: Clock,
        uptime: Uptime,
        trust: Trust,
        publisher: Publisher,
        feed: Feed,
        settling: Settling,
        writer: Writer,
        vault: NodeVault,
    ) -> None:
        self._clock = clock
        self._uptime = uptime
        self._trust = trust
        self._publisher = publisher
        self._feed = feed
        self._settling = settling
        self._writer = writer
        self._vault = vault
        self._ends: OrderedDict[str, int] = OrderedDict()

    @property
    def clock(self) -> Clock:
        """The node's clocks."""
        return self._clock

    @property
    def node_name(self) -> str:
        """This node's name in the mesh."""
        return self._trust.name

    def secret(self, agent: str, name: str) -> bytes:
        """A secret that the configuration gives to this agent."""
        return self._vault.for_agent(agent, name)

    def audience(self, node: str | None) -> str | None:
        """The audience that reaches the member named `node`; None when that is this node."""
        if node is None:
            return None if self._trust.role is Role.HUB else "hub"
        if node == self._trust.name:
            return None
        try:
            kid = self._trust.roster.who(node)
        except Invalid as error:
            raise Refused(error.message, hint=error.hint) from None
        return None if kid == self._trust.kid else f"kid:{kid.hex()}"

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
        """Accept one message; its id, once it is synced."""
        position = await self._publisher.enqueue(
            topic, payload, audience=audience, at=at, ttl_s=ttl_s, correlation=correlation
        )
        text = str(position)
        if ttl_s is not None:
            self._remember_end(text, ttl_s)
        return text

    async def publish_all(
        self,
        topic: str,
        payloads: Sequence[Payload],
        *,
        at: Sequence[float] | None = None,
        ttl_s: int | None = None,
    ) -> list[str]:
        """Accept messages together; their ids, once all are synced."""
        first = await self._publisher.enqueue_all(topic, payloads, at=at, ttl_s=ttl_s)
        ids = first.texts(len(payloads))
        if ttl_s is not None:
            for text in ids[-FATES:]:
                self._remember_end(text, ttl_s)
        return ids

    def _remember_end(self, id: str, ttl_s: int) -> None:
        self._ends[id] = self._uptime.ms() + ttl_s * 1000
        while len(self._ends) > FATES:
            self._ends.popitem(last=False)

    def subscribe(self, filter: str, handler: Handler, *, name: str) -> NodeSubscription:
        """Hand every matching message to `handler`, from where `name` left off."""
        return NodeSubscription(self._feed.subscribe(filter, handler, name=name))

    def fate(self, id: str) -> Fate:
        """How far the message `id` of this node has come."""
        if id.startswith(LATEST):
            return Fate.QUEUED
        position = Position.parse(id)
        row = self._writer.store.streams.find(position.stream)
        if row is not None and row.settled >= position.seq:
            return Fate.DELIVERED
        if position.stream.epoch != self._writer.store.outbox.epoch or self._settling.has_left(position):
            return Fate.SENT
        end = self._ends.get(id)
        return Fate.EXPIRED if end is not None and self._uptime.ms() >= end else Fate.QUEUED

    async def remember(self, id: str, outcome: bytes) -> None:
        """Keep what became of call `id`."""
        at_ms = self._uptime.wall_ms() or 0
        await self._writer.run(lambda store: store.records.remember(id, outcome, at_ms))

    async def recall(self, id: str) -> bytes | None:
        """What was last remembered of call `id`."""
        return await self._writer.read(lambda store: store.records.recall(id))
