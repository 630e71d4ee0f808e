"""One agent, running: its resources open, its sensors on schedule, its handlers and commands in place.

A *life* is from opening the resources to closing them. When a life ends by an error, everything is put into
its safe state and closed, and after a while there is another; so unplugged hardware comes back by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from kos_edge.agents.agent import Agent
from kos_edge.agents.calls import Call, Calls
from kos_edge.agents.commands import Commands
from kos_edge.agents.hearing import Hearing
from kos_edge.agents.invoker import Invoker
from kos_edge.agents.obeying import Obeying
from kos_edge.agents.port import Bus, Subscription
from kos_edge.agents.sensing import Sensing
from kos_edge.agents.signature import name_of
from kos_edge.agents.tally import AgentStatus, told
from kos_edge.agents.watchdog import TASK_PREFIX
from kos_edge.agents.worker import Worker
from kos_edge.errors import KosError, Unknown
from kos_edge.klp.body import Payload
from kos_edge.said import Said

T = TypeVar("T")

RESTART_AFTER = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds before each further life; the last one stands. Hardware is plugged in again within minutes."""

STOP_WITHIN = 5.0
"""Seconds for safe values and closing; systemd kills after 90, and a person waits less."""


class Runtime:
    """Runs one agent on a bus until it is cancelled. It is also the ground that the agent stands on."""

    def __init__(self, agent: Agent, bus: Bus, calls: Calls, worker: Worker) -> None:
        self.agent = agent
        self.clock = bus.clock
        self.settled = asyncio.Event()
        """Set once the first life has begun, or has failed to."""
        self.blocked_loop = 0
        self._bus = bus
        self._calls = calls
        self._worker = worker
        self._state = "starting"
        self._reason: str | None = None
        self._told_stuck = False
        self._invoker = Invoker(agent, worker, bus.clock)
        self._sensors = [Sensing(sensor, self._invoker, bus) for sensor in agent.sensors]
        self._handlers = [
            Hearing(handler, self._invoker, bus, cursor)
            for handler, cursor in zip(agent.handlers, _cursors(agent), strict=True)
        ]
        self._commands = [
            Obeying(command, self._invoker, self._why_not) for command in agent.commands.values()
        ]

    def offer(self, commands: Commands) -> None:
        """Make the agent's commands known. Raises Invalid when another agent has one of them."""
        for command in self._commands:
            commands.offer(command.action, command.offer)

    async def run(self) -> None:
        """Live, and live again after an error, until cancelled; then everything is safe and closed."""
        failures = 0
        try:
            while True:
                begun = self.clock.monotonic()
                try:
                    await self._live()
                except (Exception, SystemExit) as error:
                    self._failed(error)
                if self.clock.monotonic() - begun > RESTART_AFTER[-1]:
                    failures = 0
                await asyncio.sleep(RESTART_AFTER[min(failures, len(RESTART_AFTER) - 1)])
                failures += 1
        finally:
            self._state, self._reason = "stopped", None
            if not await self._worker.close(STOP_WITHIN):
                self.agent.log.warning(
                    "its thread does not end; it is left behind",
                    extra=Said.AGENT_STUCK.of(agent=self.agent.name),
                )

    def status(self) -> AgentStatus:
        """What is to be known of the agent now."""
        state, reason = self._state, self._reason
        if state == "running" and (stuck := self._invoker.stuck()) is not None:
            state, reason = "stuck", stuck
        functions = tuple(tally.status() for tally in self._invoker.tallies)
        return AgentStatus(self.agent.name, state, reason, functions, self.blocked_loop)

    def look(self) -> None:
        """Tell once when the agent gets stuck, and once when it is not any more."""
        stuck = self._invoker.stuck()
        if (stuck is not None) is self._told_stuck:
            return
        self._told_stuck = stuck is not None
        if stuck is not None:
            self.agent.log.warning("stuck: %s", stuck, extra=Said.AGENT_STUCK.of(agent=self.agent.name))
        else:
            self.agent.log.info("no longer stuck", extra=Said.AGENT_WELL.of(agent=self.agent.name))

    async def publish(self, topic: str, payload: Payload, *, at: float | None, ttl_s: int | None) -> str:
        """`Agent.publish`."""
        return await self._bus.publish(topic, payload, at=at, ttl_s=ttl_s)

    async def publish_all(
        self, topic: str, payloads: Sequence[Payload], *, at: Sequence[float] | None, ttl_s: int | None
    ) -> list[str]:
        """`Agent.publish_all`."""
        return await self._bus.publish_all(topic, payloads, at=at, ttl_s=ttl_s)

    def call(
        self,
        action: str,
        params: Mapping[str, Any],
        *,
        node: str | None,
        timeout_s: float,
        ttl_s: float | None,
    ) -> Call:
        """`Agent.call`."""
        return self._calls.call(action, params, node=node, timeout_s=timeout_s, ttl_s=ttl_s)

    def ask(self, id: str, *, timeout_s: float) -> Call:
        """`Agent.ask`."""
        return self._calls.ask(id, timeout_s=timeout_s)

    def secret(self, name: str) -> bytes:
        """`Agent.secret`."""
        return self._bus.secret(self.agent.name, name)

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """`Agent.sync`."""
        return self._worker.wait_for(work)

    async def _live(self) -> None:
        broken = self._invoker.begin()
        tasks: list[asyncio.Task[None]] = []
        subscriptions: list[Subscription] = []
        try:
            await self._invoker.resources.open()
            if failures := await self._make_safe():
                raise Unknown("; ".join(failures))
            self._state, self._reason = "running", None
            self.settled.set()
            subscriptions = [handler.subscribe() for handler in self._handlers]
            tasks = [self._task(sensor) for sensor in self._sensors]
            await broken
        finally:
            self._state = "stopping"
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for subscription in subscriptions:
                await subscription.close()
            await self._leave()

    async def _leave(self) -> None:
        """Everything into its safe state and closed, within its time."""
        log = self.agent.log
        await asyncio.gather(*(sensor.flush(STOP_WITHIN) for sensor in self._sensors))
        try:
            async with asyncio.timeout(STOP_WITHIN):
                for failure in await self._make_safe():
                    log.error("%s", failure, extra=Said.NOT_SAFE.of(agent=self.agent.name))
                for name, error in await self._invoker.resources.close():
                    log.warning(
                        "closing %s: %s",
                        name,
                        told(error),
                        extra=Said.AGENT_FAILED.of(agent=self.agent.name),
                    )
        except TimeoutError:
            busy = self._worker.busy()
            log.error(
                "NOT made safe and closed: %s",
                f"{busy[0]} does not return" if busy else "took too long",
                extra=Said.NOT_SAFE.of(agent=self.agent.name),
            )

    async def _make_safe(self) -> list[str]:
        """Apply every safe value, whatever goes wrong with one; what went wrong."""
        outcomes = [await command.make_safe() for command in self._commands]
        return [failure for failure in outcomes if failure is not None]

    def _task(self, sensor: Sensing) -> asyncio.Task[None]:
        name = f"{TASK_PREFIX}{self.agent.name}: {sensor.tally.name}"
        task = asyncio.get_running_loop().create_task(sensor.run(), name=name)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._invoker.end(error)

    def _failed(self, error: BaseException) -> None:
        text = error.message if isinstance(error, KosError) else told(error)
        tell = self.agent.log.debug if text == self._reason else self.agent.log.warning
        tell("failed, and will be started again: %s", text)
        self.agent.log.debug("traceback", exc_info=error)
        self._state, self._reason = "failed", text
        self.settled.set()

    def _why_not(self) -> str | None:
        """Why commands cannot be run now."""
        if self._state == "running":
            return self._invoker.stuck()
        return f"agent {self.agent.name} is {self._state}" + (f": {self._reason}" if self._reason else "")


def _cursors(agent: Agent) -> list[str]:
    """A name for each subscription that is the same after a restart."""
    names: list[str] = []
    for handler in agent.handlers:
        plain = f"{agent.name}/{name_of(handler.function)}/{handler.filter}"
        twins = sum(name == plain or name.startswith(f"{plain}/") for name in names)
        names.append(f"{plain}/{twins + 1}" if twins else plain)
    return names
