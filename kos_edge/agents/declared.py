"""What an author declared: the values behind the decorators of `Agent`."""

from __future__ import annotations

from dataclasses import dataclass

from kos_edge.agents.crossing import Band
from kos_edge.agents.payload import Fields
from kos_edge.agents.signature import Function

Exceptions = type[Exception] | tuple[type[Exception], ...]


@dataclass(frozen=True, slots=True)
class Sensor:
    """A function whose value is published every so many seconds."""

    function: Function
    topic: str
    every: float
    unit: str | None
    fields: Fields | None
    retry: int
    expect: Exceptions
    ttl_s: int | None


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that is told of messages, or only of the crossing of a threshold."""

    function: Function
    filter: str
    band: Band | None
    field: str | None


@dataclass(frozen=True, slots=True)
class Command:
    """A function that others may call. `safe` are the arguments of its safe state, None when it has none."""

    function: Function
    action: str
    safe: object
    has_safe: bool


@dataclass(frozen=True, slots=True)
class Resource:
    """A generator that opens something; `reopen` are the errors after which it is closed and opened again."""

    function: Function
    reopen: tuple[type[Exception], ...]
