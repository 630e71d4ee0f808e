"""What can be said against an agent before it is started."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from kos_edge.agents.agent import Agent
from kos_edge.agents.declared import Command, Handler
from kos_edge.agents.resource import opening_order
from kos_edge.agents.signature import (
    Function,
    Parameter,
    check_arguments,
    name_of,
    parameters,
    unknown_names,
)
from kos_edge.errors import Invalid, Refused

PROGRESS = "progress"
"""The parameter through which a command reports progress."""


def check(agent: Agent) -> None:
    """Raises Invalid, naming the function and its line, unless every function can be given what it asks
    for.
    """
    resources = {name: resource.function for name, resource in agent.resources.items()}
    opening_order(resources)
    for sensor in agent.sensors:
        _check_kind(sensor.function)
        _check_provided(sensor.function, unknown_names(parameters(sensor.function), resources))
    for handler in agent.handlers:
        _check_kind(handler.function)
        most = 1 if handler.band is None else 2
        surplus = [asked.name for asked in given_to(handler, resources)[most:] if asked.required]
        _check_provided(handler.function, surplus)
    for command in agent.commands.values():
        _check_kind(command.function)
        safe_arguments(command, resources)


def given_to(handler: Handler, resources: Iterable[str]) -> list[Parameter]:
    """The parameters of a handler that are no resources: they get what has happened."""
    known = set(resources)
    return [asked for asked in parameters(handler.function) if asked.name not in known]


def arguments_of(command: Command, resources: Iterable[str]) -> list[Parameter]:
    """The parameters of a command that its caller gives."""
    known = {*resources, PROGRESS}
    return [asked for asked in parameters(command.function) if asked.name not in known]


def safe_arguments(command: Command, resources: Iterable[str]) -> dict[str, Any] | None:
    """The arguments of a command's safe state, or None when it has none.

    Raises Invalid when they do not fit.
    """
    if not command.has_safe:
        return None
    wanted = arguments_of(command, resources)
    if len(wanted) == 1:
        safe = {wanted[0].name: command.safe}
    elif isinstance(command.safe, Mapping):
        safe = dict(command.safe)
    else:
        raise Invalid(f"{_at(command.function)}: safe= of a command with several arguments is a mapping")
    try:
        check_arguments(command.action, wanted, safe)
    except Refused as error:
        raise Invalid(f"{_at(command.function)}: its safe= does not fit: {error.message}") from None
    return safe


def _check_kind(function: Function) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise Invalid(f"{_at(function)} yields", hint="only a resource yields; return the value")


def _check_provided(function: Function, missing: list[str]) -> None:
    if missing:
        raise Invalid(
            f"{_at(function)} asks for {missing[0]!r}, which no resource provides",
            hint="declare it with @agent.resource, or give the parameter a default",
        )


def _at(function: Function) -> str:
    code = getattr(function, "__code__", None)
    return f"{name_of(function)}()" if code is None else f"line {code.co_firstlineno}, {name_of(function)}()"
