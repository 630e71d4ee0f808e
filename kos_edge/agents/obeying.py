"""A command, running: called with checked arguments, and put into its safe state when it has to be."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from kos_edge.agents.check import PROGRESS, arguments_of, safe_arguments
from kos_edge.agents.commands import Offer, Report
from kos_edge.agents.declared import Command
from kos_edge.agents.invoker import Invoker
from kos_edge.agents.outcome import Progress
from kos_edge.agents.signature import Function, parameters
from kos_edge.agents.tally import told
from kos_edge.errors import Invalid, Refused
from kos_edge.said import Said


class Obeying:
    """One command of a running agent. `why_not` says why it cannot be run now, None when it can."""

    def __init__(self, command: Command, invoker: Invoker, why_not: Callable[[], str | None]) -> None:
        agent = invoker.agent
        self.action = command.action
        self.tally = invoker.tally("command", command.function, command.action)
        self.offer = Offer(agent.name, arguments_of(command, agent.resources), self._called, why_not)
        self._function = command.function
        self._invoker = invoker
        self._safe = safe_arguments(command, agent.resources)
        self._reports = any(asked.name == PROGRESS for asked in parameters(command.function))

    async def make_safe(self) -> str | None:
        """Apply the safe value, where there is one and its resources are open; what went wrong, if
        anything.
        """
        if self._safe is None or not self._invoker.can_run(self._function):
            return None
        try:
            await self._run(self._safe, _tell_nobody)
        except (Exception, SystemExit) as error:
            return f"{self.action} did not take its safe value: {told(error)}"
        return None

    async def _called(self, params: Mapping[str, Any], report: Report) -> Any:
        try:
            return await self._run(params, report)
        except (Refused, Invalid) as error:
            self.tally.refused += 1
            self.tally.last_error, self.tally.last_error_at = told(error), self._invoker.clock.wall()
            raise
        except (Exception, SystemExit) as error:
            self._invoker.failed(self.tally, self._function, error)
            if (failure := await self.make_safe()) is not None:
                self._invoker.agent.log.error(
                    "%s", failure, extra=Said.NOT_SAFE.of(agent=self._invoker.agent.name)
                )
            raise

    async def _run(self, params: Mapping[str, Any], report: Report) -> Any:
        given = dict(params)
        if self._reports:
            given[PROGRESS] = _reporter(self._function, report)
        return await self._invoker.run(self.tally, self._function, given)


def _reporter(function: Function, report: Report) -> Callable[[Any], None]:
    """What a command gets as `progress`: callable from where the command runs."""
    if inspect.iscoroutinefunction(function):
        return lambda value: report(Progress(value))
    loop = asyncio.get_running_loop()

    def from_thread(value: Any) -> None:
        loop.call_soon_threadsafe(report, Progress(value))

    return from_thread


def _tell_nobody(_: Progress) -> None:
    """Nobody asked for the safe state, so nobody follows its progress."""
