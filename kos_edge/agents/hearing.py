"""A handler, running: told of each message, or of a threshold that is crossed, at least once."""

from __future__ import annotations

import asyncio
from typing import Any

from kos_edge.agents.agent import RESERVED
from kos_edge.agents.check import given_to
from kos_edge.agents.crossing import Crossings
from kos_edge.agents.declared import Handler
from kos_edge.agents.invoker import Invoker, is_stopping
from kos_edge.agents.port import Bus, Delivery, Subscription
from kos_edge.agents.reading import Reading
from kos_edge.agents.tally import told
from kos_edge.errors import Invalid, Unknown


class Hearing:
    """One handler of a running agent."""

    def __init__(self, handler: Handler, invoker: Invoker, bus: Bus, cursor: str) -> None:
        self.tally = invoker.tally("handler", handler.function, handler.filter)
        self._handler = handler
        self._invoker = invoker
        self._bus = bus
        self._cursor = cursor
        self._names = [asked.name for asked in given_to(handler, invoker.agent.resources)]
        self._crossings: Crossings | None = None

    def subscribe(self) -> Subscription:
        """Begin to listen. Every series begins within bounds: the start has put all into its safe state."""
        band = self._handler.band
        self._crossings = None if band is None else Crossings(band)
        return self._bus.subscribe(self._handler.filter, self.handle, name=self._cursor)

    async def handle(self, delivery: Delivery) -> None:
        """Take one message. Raises Unknown when the function failed, so that the bus brings it again."""
        if _is_ours(delivery.topic) and not _is_ours(self._handler.filter):
            return
        series = (delivery.source_kid, delivery.topic)
        crossed: bool | None = None
        try:
            reading = Reading.of(delivery)
            if self._handler.field is not None:
                reading = reading[self._handler.field]
            if self._crossings is not None:
                crossed = self._crossings.crossed(series, float(reading))
                if crossed is None:
                    return
        except KeyError:
            return
        except Invalid as error:
            self.tally.refuse(error)
            return
        values: tuple[object, ...] = (reading,) if crossed is None else (crossed, reading)
        await self._tell(dict(zip(self._names, values, strict=False)))
        if self._crossings is not None and crossed is not None:
            self._crossings.settle(series, crossed)

    async def _tell(self, given: dict[str, Any]) -> None:
        tally, function = self.tally, self._handler.function
        try:
            await self._invoker.run(tally, function, given)
        except asyncio.CancelledError as error:
            if is_stopping():
                raise
            tally.failed(error)
            raise Unknown(f"{tally.name} cancelled itself") from None
        except (Exception, SystemExit) as error:
            self._invoker.failed(tally, function, error)
            raise Unknown(f"{tally.name} failed: {told(error)}") from error


def _is_ours(topic: str) -> bool:
    return topic.split(".")[0] == RESERVED
