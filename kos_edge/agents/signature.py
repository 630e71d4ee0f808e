"""What a function asks for, and whether given arguments fit it."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from kos_edge.errors import Invalid, Refused

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an agent's function. `hint` is its annotation, `Any` where there is none."""

    name: str
    required: bool
    hint: Any


def parameters(function: Function) -> tuple[Parameter, ...]:
    """The parameters of `function`, in order. Raises Invalid for one that cannot be passed by name."""
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # a name that exists for the type checker alone
        hints = {}
    found = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise Invalid(
                f"{name_of(function)}() takes {parameter}, which cannot be given by name",
                hint="use plain parameters",
            )
        required = parameter.default is parameter.empty
        found.append(Parameter(parameter.name, required, hints.get(parameter.name, Any)))
    return tuple(found)


def check_arguments(action: str, wanted: Sequence[Parameter], given: Mapping[str, Any]) -> None:
    """Raises Refused, naming the argument, unless `given` fits what a command wants."""
    known = {parameter.name: parameter for parameter in wanted}
    takes = f"it takes {', '.join(known) or 'nothing'}"
    for name in given:
        if name not in known:
            raise Refused(f"{action} knows no argument {name[:64]!r}", hint=takes)
    for parameter in wanted:
        if parameter.name not in given:
            if parameter.required:
                raise Refused(f"{action} needs the argument {parameter.name!r}", hint=takes)
        elif not fits(parameter.hint, given[parameter.name]):
            wrong = type(given[parameter.name]).__name__
            raise Refused(f"{action}: {parameter.name} must be {describe(parameter.hint)}, not {wrong}")


def fits(hint: Any, value: object) -> bool:
    """Whether a value that came over the wire is of the annotated type; what we do not know, fits."""
    origin = get_origin(hint)
    if hint is None or hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint in (str, bytes, list, dict):
        return isinstance(value, hint)
    if origin is Annotated:
        return fits(get_args(hint)[0], value)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(hint))
    if origin in (Union, types.UnionType):
        return any(fits(choice, value) for choice in get_args(hint))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        inner = get_args(hint)[1]
        return isinstance(value, Mapping) and all(fits(inner, item) for item in value.values())
    if isinstance(origin, type) and issubclass(list, origin):
        inner = get_args(hint)[0]
        return isinstance(value, list) and all(fits(inner, item) for item in value)
    return True


def describe(hint: Any) -> str:
    """A type in words: what `fits` checks."""
    if get_origin(hint) is Annotated:
        return describe(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(choice) for choice in get_args(hint))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(describe(choice) for choice in get_args(hint))
    if hint is type(None):
        return "None"
    if get_origin(hint) is None and isinstance(hint, type):
        return hint.__name__
    return str(hint)


def name_of(function: Function) -> str:
    """A function's own name, for people."""
    return str(getattr(function, "__name__", None) or type(function).__name__)


def unknown_names(wanted: Iterable[Parameter], known: Iterable[str]) -> list[str]:
    """The required parameters that nobody provides."""
    provided = set(known)
    return [parameter.name for parameter in wanted if parameter.required and parameter.name not in provided]
