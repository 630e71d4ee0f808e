"""Runs any number of agents on one node, each apart from the others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kos_edge.agents.agent import Agent
from kos_edge.agents.calls import CALL_TIMEOUT, Call, Calls
from kos_edge.agents.check import check
from kos_edge.agents.commands import Commands
from kos_edge.agents.outcome import ANSWER_TOPIC, CALL_TOPIC
from kos_edge.agents.port import Bus, Subscription
from kos_edge.agents.runtime import Runtime
from kos_edge.agents.tally import AgentStatus
from kos_edge.agents.watchdog import TASK_PREFIX, Watchdog
from kos_edge.agents.worker import ThreadWorker, Worker
from kos_edge.clock import Clock
from kos_edge.errors import Invalid, Misuse
from kos_edge.said import Said

log = logging.getLogger("kos_edge.agents")

START_WITHIN = 10.0
"""Seconds that commands from outside wait for the agents to open their hardware; then they are told that it
is not.
"""

LOOK_EVERY = 5.0
"""Seconds between two looks for agents that are stuck."""


class Host:
    """The agents of one node. `run` is for a task group; `start` and `close` are for everybody else."""

    def __init__(
        self,
        bus: Bus,
        agents: Iterable[Agent] = (),
        *,
        worker: Callable[[str, Clock], Worker] = ThreadWorker,
        watchdog: bool = True,
    ) -> None:
        self._bus = bus
        self._worker = worker
        self._commands = Commands(bus)
        self._calls = Calls(bus, self._commands)
        self._runtimes: dict[str, Runtime] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._subscriptions: list[Subscription] = []
        self._looking: asyncio.Task[None] | None = None
        self._watchdog: Watchdog | None = None
        self._wants_watchdog = watchdog
        self._first = list(agents)
        self._blamed: set[str] = set()

    async def run(self) -> None:
        """Run the agents until cancelled."""
        try:
            await self.start()
            await asyncio.get_running_loop().create_future()
        finally:
            await self.close()

    async def start(self) -> None:
        """Start the agents; returns when each has opened its resources, has failed to, or takes too long.

        Raises Invalid, and starts none, when one of them cannot work as it is declared.
        """
        if self._looking is not None:
            raise Misuse("this host has started already")
        for agent in self._first:
            check(agent)
        self._subscriptions = [
            self._bus.subscribe(f"{ANSWER_TOPIC}.#", self._calls.handle, name="kos/answers")
        ]
        loop = asyncio.get_running_loop()
        self._looking = loop.create_task(self._look(), name="look for stuck agents")
        if self._wants_watchdog:
            self._watchdog = Watchdog(loop, self._blame)
            self._watchdog.start()
        await asyncio.gather(*(self.add(agent) for agent in self._first))
        # Calls that waited for this node must not be told that nobody offers what is about to be offered.
        self._subscriptions.append(
            self._bus.subscribe(f"{CALL_TOPIC}.#", self._commands.handle, name="kos/commands")
        )

    async def add(self, agent: Agent) -> None:
        """Start one more agent; returns like `start`.

        Raises Invalid for a name or a command that is taken.
        """
        check(agent)
        if agent.name in self._runtimes:
            raise Invalid(f"two agents are called {agent.name}", hint="rename one")
        worker = self._worker(agent.name, self._bus.clock)
        runtime = Runtime(agent, self._bus, self._calls, worker)
        agent.bind(runtime)
        try:
            runtime.offer(self._commands)
        except Invalid:
            self._commands.withdraw(agent.name)
            agent.unbind()
            raise
        self._runtimes[agent.name] = runtime
        name = f"{TASK_PREFIX}{agent.name}: itself"
        self._tasks[agent.name] = asyncio.get_running_loop().create_task(runtime.run(), name=name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_WITHIN):
                await runtime.settled.wait()

    async def remove(self, name: str) -> None:
        """Stop one agent: its commands take their safe values, its resources are closed."""
        if name not in self._runtimes:
            raise Invalid(
                f"no agent is called {name}", hint=f"there are {', '.join(self._runtimes) or 'none'}"
            )
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._commands.withdraw(name)
        self._runtimes.pop(name).agent.unbind()

    async def close(self) -> None:
        """Stop everything; the host cannot be started again."""
        if self._looking is not None:
            self._looking.cancel()
        if self._watchdog is not None:
            self._watchdog.stop()
        for subscription in self._subscriptions:
            await subscription.close()
        self._subscriptions = []
        await self._commands.close()
        await self._calls.close()
        await asyncio.gather(*(self.remove(name) for name in list(self._runtimes)))

    def call(
        self,
        action: str,
        params: Mapping[str, Any],
        *,
        node: str | None = None,
        timeout_s: float = CALL_TIMEOUT,
        ttl_s: float | None = None,
    ) -> Call:
        """Call a command on nobody's behalf but this node's: see `Agent.call`."""
        return self._calls.call(action, params, node=node, timeout_s=timeout_s, ttl_s=ttl_s)

    def ask(self, id: str, *, timeout_s: float = CALL_TIMEOUT) -> Call:
        """What became of an earlier call of this node: see `Agent.ask`."""
        return self._calls.ask(id, timeout_s=timeout_s)

    def status(self) -> dict[str, AgentStatus]:
        """Every agent by name, with its state and its functions."""
        return {name: runtime.status() for name, runtime in sorted(self._runtimes.items())}

    def commands(self) -> dict[str, str]:
        """Every command that this node offers, and the agent that has it."""
        return self._commands.actions()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for runtime in self._runtimes.values():
                runtime.look()

    def _blame(self, task: str, place: str) -> None:
        name, _, function = task.removeprefix(TASK_PREFIX).partition(": ")
        runtime = self._runtimes.get(name) if task.startswith(TASK_PREFIX) else None
        level = logging.DEBUG if task in self._blamed else logging.WARNING
        self._blamed.add(task)
        if runtime is None:
            log.log(level, "the event loop is blocked at %s", place, extra=Said.LOOP_BLOCKED.of())
            return
        runtime.blocked_loop += 1
        log.log(
            level,
            "agent %s blocks the event loop in %s, at %s; use an ordinary def",
            name,
            function,
            place,
            extra=Said.LOOP_BLOCKED.of(agent=name),
        )
