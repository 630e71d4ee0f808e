"""What a running agent stands on: the few things that its host does for it."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from kos_edge.agents.calls import Call
from kos_edge.clock import Clock
from kos_edge.klp.body import Payload

T = TypeVar("T")


class Ground(Protocol):
    """What a running agent stands on; its host provides it."""

    clock: Clock

    async def publish(self, topic: str, payload: Payload, *, at: float | None, ttl_s: int | None) -> str: ...

    async def publish_all(
        self, topic: str, payloads: Sequence[Payload], *, at: Sequence[float] | None, ttl_s: int | None
    ) -> list[str]: ...

    def call(
        self,
        action: str,
        params: Mapping[str, Any],
        *,
        node: str | None,
        timeout_s: float,
        ttl_s: float | None,
    ) -> Call: ...

    def ask(self, id: str, *, timeout_s: float) -> Call: ...

    def secret(self, name: str) -> bytes: ...

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T: ...
