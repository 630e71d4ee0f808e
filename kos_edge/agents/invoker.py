"""Runs an agent's functions: with the resources they ask for, on the right thread, counted."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any

from kos_edge.agents.agent import Agent
from kos_edge.agents.resource import Resources
from kos_edge.agents.signature import Function, name_of, parameters
from kos_edge.agents.tally import Tally
from kos_edge.agents.worker import Worker
from kos_edge.clock import Clock


class Invoker:
    """What the functions of one running agent share: its resources, its thread, its end by an error.

    A life begins with `begin` and an `open` of the resources; `broken` gets an exception when it has to end.
    """

    def __init__(self, agent: Agent, worker: Worker, clock: Clock) -> None:
        self.agent = agent
        self.worker = worker
        self.clock = clock
        self.tallies: list[Tally] = []
        self.broken: asyncio.Future[None] | None = None
        self.resources = Resources({}, worker.run)
        self._arguments: dict[Function, dict[str, Any]] = {}

    def begin(self) -> asyncio.Future[None]:
        """Forget the life before."""
        declared = {name: resource.function for name, resource in self.agent.resources.items()}
        self.resources = Resources(declared, self.worker.run)
        self._arguments = {}
        self.broken = asyncio.get_running_loop().create_future()
        return self.broken

    def tally(self, kind: str, function: Function, about: str) -> Tally:
        """New counts for one function in one role."""
        agent = self.agent
        tally = Tally(name_of(function), kind, about, self.clock, agent.log, agent.stuck_after)
        self.tallies.append(tally)
        return tally

    async def run(self, tally: Tally, function: Function, given: Mapping[str, Any]) -> Any:
        """Run it with its resources and what is `given`; an ordinary function waits for its turn on the
        thread.
        """
        if function not in self._arguments:
            self._arguments[function] = self.resources.arguments(function)
        arguments = {**self._arguments[function], **given}
        if inspect.iscoroutinefunction(function):
            with tally.running():
                return await function(**arguments)

        def job() -> Any:
            with tally.running():
                return function(**arguments)

        return await self.worker.run(tally.name, job)

    def failed(self, tally: Tally, function: Function, error: BaseException) -> None:
        """Count the error; end this life when it means that a resource of the function has to be opened
        anew.
        """
        tally.failed(error)
        declared, asked = self.agent.resources, self.needs(function)
        for name in asked:
            asked += [further for further in self.needs(declared[name].function) if further not in asked]
            if isinstance(error, declared[name].reopen):
                self.end(error)

    def end(self, error: BaseException) -> None:
        """End this life; the first error counts."""
        if self.broken is not None and not self.broken.done():
            self.broken.set_exception(error)

    def needs(self, function: Function) -> list[str]:
        """The resources that a function asks for."""
        return [asked.name for asked in parameters(function) if asked.name in self.agent.resources]

    def can_run(self, function: Function) -> bool:
        """Whether every resource that it asks for is open."""
        return set(self.needs(function)) <= set(self.resources.opened())

    def stuck(self) -> str | None:
        """What is stuck, if anything is. An `async def` command that waits for long holds nobody up."""
        busy, patience = self.worker.busy(), self.agent.stuck_after
        if busy is not None and self.clock.monotonic() - busy[1] >= patience:
            return f"{busy[0]} has not returned for {patience:g} s or more"
        for tally in self.tallies:
            if tally.kind != "command" and tally.is_stuck():
                return f"{tally.kind} {tally.name} has not returned for {patience:g} s or more"
        return None


def is_stopping() -> bool:
    """Whether somebody cancels the task that we are in; otherwise a CancelledError is the agent's own
    mistake.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
