"""A sensor, running: read on schedule, tried again where that helps, published without holding up the
schedule.
"""

from __future__ import annotations

import asyncio
from typing import Any

from kos_edge.agents.declared import Sensor
from kos_edge.agents.invoker import Invoker, is_stopping
from kos_edge.agents.payload import payload_of
from kos_edge.agents.port import Bus
from kos_edge.agents.schedule import Schedule
from kos_edge.agents.watchdog import TASK_PREFIX
from kos_edge.errors import Invalid, KosError
from kos_edge.klp.body import Payload

RETRY_PAUSE = 2.0
"""Seconds at most between two attempts at one reading: what a DHT22 needs between conversions."""

IN_FLIGHT = 128
"""Readings of one sensor that wait to become durable; beyond it the sensor itself waits, and skips ticks."""


class Sensing:
    """One sensor of a running agent. `run` is its schedule; `flush` waits for what is not durable yet."""

    def __init__(self, sensor: Sensor, invoker: Invoker, bus: Bus) -> None:
        self.tally = invoker.tally("sensor", sensor.function, sensor.topic)
        self._sensor = sensor
        self._invoker = invoker
        self._bus = bus
        self._in_flight: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Read and publish until cancelled. No error of the function ends it."""
        loop, skipped_before = asyncio.get_running_loop(), self.tally.skipped
        schedule = Schedule(self._sensor.every, loop.time())
        while True:
            moment = schedule.due(loop.time())
            self.tally.skipped = skipped_before + schedule.skipped
            await asyncio.sleep(max(0.0, moment - loop.time()))
            value = await self._read()
            try:
                payload = payload_of(value, self._sensor.unit, self._sensor.fields)
            except Invalid as error:
                self.tally.refuse(error)
                continue
            if payload is None:
                continue
            self.tally.last_value_at = self._invoker.clock.wall()
            if len(self._in_flight) >= IN_FLIGHT:
                await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
            name = f"{TASK_PREFIX}{self._invoker.agent.name}: {self.tally.name} publishes"
            task = loop.create_task(self._publish(payload, self._invoker.agent.stamp()), name=name)
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)

    async def flush(self, within: float) -> None:
        """Wait until what was read is durable, at most so many seconds."""
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=within)

    async def _read(self) -> Any:
        sensor, tally = self._sensor, self.tally
        pause = min(RETRY_PAUSE, sensor.every / (sensor.retry + 2))
        left = sensor.retry
        while True:
            try:
                return await self._invoker.run(tally, sensor.function, {})
            except asyncio.CancelledError as error:
                if is_stopping():
                    raise
                tally.failed(error)
                return None
            except (Exception, SystemExit) as error:
                if not left or not isinstance(error, sensor.expect):
                    self._invoker.failed(tally, sensor.function, error)
                    return None
            left -= 1
            tally.retries += 1
            await asyncio.sleep(pause)

    async def _publish(self, payload: Payload, at: float | None) -> None:
        try:
            await self._bus.publish(self._sensor.topic, payload, at=at, ttl_s=self._sensor.ttl_s)
        except Invalid as error:
            self.tally.refuse(error)
        except KosError as error:
            self.tally.failed(error)
        else:
            self.tally.published += 1
