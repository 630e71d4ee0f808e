"""Resources: what an agent opens at its start and closes at its end; functions get them by parameter name."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from functools import partial
from typing import Any

from kos_edge.agents.signature import Function, name_of, parameters
from kos_edge.errors import Invalid

OnThread = Callable[[str, Callable[[], Any]], Awaitable[Any]]
"""Runs an ordinary function on the agent's own thread: `Worker.run`."""


def opening_order(resources: Mapping[str, Function]) -> list[str]:
    """The names in an order in which each comes after those it asks for.

    Raises Invalid for a circle and for a name that nobody provides.
    """
    order: list[str] = []
    path: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        if name in path:
            raise Invalid(f"resources ask for each other in a circle: {' → '.join([*path, name])}")
        path.append(name)
        for parameter in parameters(resources[name]):
            if parameter.name in resources:
                visit(parameter.name)
            elif parameter.required:
                raise Invalid(
                    f"resource {name}() asks for {parameter.name!r}, which no resource provides",
                    hint="declare it with @agent.resource",
                )
        path.pop()
        order.append(name)

    for name in resources:
        visit(name)
    return order


class Resources:
    """The open resources of one running agent.

    Ordinary generators run on the agent's thread, async ones on the loop.
    """

    def __init__(self, declared: Mapping[str, Function], on_thread: OnThread) -> None:
        self._declared = declared
        self._on_thread = on_thread
        self._open: dict[str, Any] = {}
        self._generators: dict[str, Generator[Any] | AsyncGenerator[Any]] = {}

    async def open(self) -> None:
        """Open all, each after those it asks for.

        When one fails, those already open stay so: call `close`.
        """
        for name in opening_order(self._declared):
            self._open[name] = await self._enter(name, self._declared[name])

    async def close(self) -> list[tuple[str, BaseException]]:
        """Close in the opposite order; go on when one fails, and return what failed."""
        failed: list[tuple[str, BaseException]] = []
        for name, generator in reversed(self._generators.items()):
            try:
                await self._leave(name, generator)
            except (Exception, SystemExit) as error:
                failed.append((name, error))
        self._generators.clear()
        self._open.clear()
        return failed

    def opened(self) -> frozenset[str]:
        """The names of those that are open."""
        return frozenset(self._open)

    def arguments(self, function: Function) -> dict[str, Any]:
        """What `function` asks for, by parameter name, as far as it is a resource."""
        return {
            asked.name: self._open[asked.name] for asked in parameters(function) if asked.name in self._open
        }

    async def _enter(self, name: str, function: Function) -> Any:
        arguments = self.arguments(function)
        if inspect.isasyncgenfunction(function):
            generator = function(**arguments)
            self._generators[name] = generator
            try:
                return await anext(generator)
            except StopAsyncIteration:
                raise Invalid(f"resource {name}() yields nothing") from None
        if inspect.iscoroutinefunction(function):
            return await function(**arguments)
        if not inspect.isgeneratorfunction(function):
            return await self._on_thread(f"open {name}", partial(function, **arguments))
        plain = function(**arguments)
        self._generators[name] = plain
        missing = object()
        value = await self._on_thread(f"open {name}", lambda: next(plain, missing))
        if value is missing:
            raise Invalid(f"resource {name_of(function)}() yields nothing")
        return value

    async def _leave(self, name: str, generator: Generator[Any] | AsyncGenerator[Any]) -> None:
        if isinstance(generator, AsyncGenerator):
            await anext(generator, None)
            await generator.aclose()
        else:
            await self._on_thread(f"close {name}", lambda: _finish(generator))


def _finish(generator: Generator[Any]) -> None:
    next(generator, None)
    generator.close()
