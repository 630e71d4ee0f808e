"""What a node needs of whoever traces messages: `kos_edge.node.tracing`, with OpenTelemetry, where it is configured.

Without one nothing of it is imported, and a message costs one comparison more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

from kos_edge.agents.port import Delivery, Handler
from kos_edge.klp.pack import Pack


class Publishing(Protocol):
    """The span of one act of publishing. `context` travels in its messages (W3C traceparent)."""

    @property
    def context(self) -> str: ...

    def done(self, future: asyncio.Future[Any]) -> None:
        """It is durable, or it is known that it is not."""
        ...

    def failed(self, error: BaseException) -> None:
        """It was not taken."""
        ...


class Tracer(Protocol):
    """Makes spans of what messages go through on one node."""

    def publishing(self, topic: str, count: int) -> Publishing | None:
        """Messages are handed in; None where this is one that is not traced."""
        ...

    def arrived(self, packs: Iterable[Pack]) -> None:
        """Packs of others are safe here."""
        ...

    async def handle(self, handler: Handler, name: str, delivery: Delivery) -> None:
        """Run a handler on a message."""
        ...
