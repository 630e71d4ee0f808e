"""What agents need of the node they run on: the `Bus`.

The node implements it on its store and its sessions; `kos_edge.testing` implements it in memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from kos_edge.clock import Clock
from kos_edge.klp.body import Payload


class Fate(Enum):
    """How far a published message has come, as this node can prove."""

    QUEUED = "queued"
    """It has never left this node and may still do so."""
    SENT = "sent"
    """It has left at least once; no receipt has come back."""
    DELIVERED = "delivered"
    """Its audience has acknowledged it."""
    EXPIRED = "expired"
    """Its ttl ran out, or it was dropped or refused, before it ever left: certainly nobody has it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it reaches a subscriber."""

    id: str
    """The message id, `klp.pack.Position` as text."""
    source_kid: bytes
    source_name: str
    topic: str
    seq: int
    at: float | None
    """When it was made: wall clock seconds, None when nobody knows."""
    payload: Payload
    uncertainty: float | None = None
    """Seconds either way by which `at` may be wrong; None when unknown."""
    attested: bool = False
    """A gateway vouches for it in place of the source's own signature."""
    correlation: str | None = None
    """The id of the message that this one answers."""
    ttl_left: float | None = None
    """Seconds until it expires; None when it never does. An expired message is not delivered at all."""
    late: bool = False
    """Something newer of its fresh-first stream has come before."""
    trace: str | None = None
    """The trace context that it brought, a W3C traceparent."""


Handler = Callable[[Delivery], Awaitable[None]]


class Subscription(Protocol):
    """A standing wish for messages."""

    async def close(self) -> None:
        """No further message is handed over; one being handled is cancelled. The cursor stays."""
        ...


class Bus(Protocol):
    """Publishing, subscribing, and what calls need to know.

    All of it is used from the event loop's thread.
    """

    @property
    def clock(self) -> Clock:
        """The node's clocks."""
        ...

    @property
    def node_name(self) -> str:
        """This node's name in the mesh."""
        ...

    def secret(self, agent: str, name: str) -> bytes:
        """A secret of this node's vault, for the agent of that name.

        Raises Refused where the configuration does not give it to this agent, Invalid for a bad name or where the vault
        has none of that name, Unavailable where the vault is shut.
        """
        ...

    def audience(self, node: str | None) -> str | None:
        """The audience that reaches the member named `node` (None: the hub); None when that is this node.

        Raises Refused when the mesh has no member of that name.
        """
        ...

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
        """Accept one message, and return its id once it is durable (for a volatile topic: once it is queued).

        Messages are numbered in the order in which publish was *called* (started), whatever the order in
        which they become durable. `audience` None means what the configuration says of the topic, by default
        the hub. `at` is the wall clock time of the value, None for now; `ttl_s` whole seconds from now.
        Subscribers of this node see the message too, unless an `audience` is given to which it does not
        belong. Raises Invalid (topic, size, value) and Unavailable (queue full).
        """
        ...

    async def publish_all(
        self,
        topic: str,
        payloads: Sequence[Payload],
        *,
        at: Sequence[float] | None = None,
        ttl_s: int | None = None,
    ) -> list[str]:
        """Accept messages of one topic together, all or none; their ids, in order, once all are durable.

        `at` has the time of each. Otherwise as `publish`.
        """
        ...

    def subscribe(self, filter: str, handler: Handler, *, name: str) -> Subscription:
        """Hand each message whose topic matches `filter` to `handler`: at least once, one by one, in order.

        Messages are those that this node publishes and those that reach it. `name` is the cursor's: the same
        name goes on where it left off, after a restart too; a new name begins with what comes next. A
        handler that returns has handled the message; one that raises is given it again later, and after its
        attempts the message is set aside as a dead letter. One subscription that is slow or hangs holds up
        no other.
        """
        ...

    def fate(self, id: str) -> Fate:
        """How far the message `id`, published by this node, has come."""
        ...

    async def remember(self, id: str, outcome: bytes) -> None:
        """Keep (or replace) what became of call `id` for 24 hours; returns once that is durable."""
        ...

    async def recall(self, id: str) -> bytes | None:
        """What was last remembered of call `id`, or None."""
        ...
