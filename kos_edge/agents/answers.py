"""What the executing side tells the caller: accepted, progress, the outcome, one after the other."""

from __future__ import annotations

import asyncio
import logging

from kos_edge.agents.outcome import ANSWER_TOPIC, KEPT_S, Answer, Outcome, to_payload
from kos_edge.agents.port import Bus, Delivery
from kos_edge.agents.tally import told
from kos_edge.errors import KosError
from kos_edge.said import Said

log = logging.getLogger("kos_edge.agents")

_PROGRESS_TTL_S = 60
"""Seconds. Progress that is older tells nobody anything."""


class Answers:
    """The answers to one call, published one after the other."""

    def __init__(self, bus: Bus, delivery: Delivery, action: str, tasks: set[asyncio.Task[None]]) -> None:
        self._bus = bus
        self._to = f"kid:{delivery.source_kid.hex()}"
        self._id = delivery.id
        self._topic = f"{ANSWER_TOPIC}.{action}"
        self._tasks = tasks
        self._last: asyncio.Task[None] | None = None

    def say(self, answer: Answer) -> None:
        """Publish this after all that was said before."""
        self._last = asyncio.get_running_loop().create_task(self._publish(self._last, answer))
        self._tasks.add(self._last)
        self._last.add_done_callback(self._tasks.discard)

    async def _publish(self, before: asyncio.Task[None] | None, answer: Answer) -> None:
        if before is not None:
            await before
        ttl_s = KEPT_S if isinstance(answer, Outcome) else _PROGRESS_TTL_S
        try:
            payload = to_payload(answer)
            await self._bus.publish(
                self._topic, payload, audience=self._to, ttl_s=ttl_s, correlation=self._id
            )
        except KosError as error:
            log.warning(
                "answer to call %s: %s", self._id, told(error), extra=Said.CALL_FAILED.of(call=self._id)
            )
