"""Parameters of a verb as they come from a stranger: names and types checked before the verb sees them."""

from __future__ import annotations

import binascii
from base64 import b64decode
from inspect import Parameter
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from kos_edge.control.protocol import Verb
from kos_edge.control.reports import Json
from kos_edge.errors import Invalid

_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}


def checked(verb: Verb, params: dict[str, Json]) -> dict[str, Json]:
    """`params`, each known to `verb` and of its type, none missing. Raises Invalid for the first at fault."""
    for name in params:
        if name not in verb.parameters:
            known = ", ".join(verb.parameters) or "none"
            raise Invalid(f"{verb.name} has no parameter {name!r}; it has {known}")
    for name, parameter in verb.parameters.items():
        if name not in params:
            if parameter.default is Parameter.empty:
                raise Invalid(f"{verb.name} needs the parameter {name!r}")
        elif not _fits(params[name], parameter.annotation):
            raise Invalid(f"{verb.name}: {name} must be {_describe(parameter.annotation)}")
    return params


def bytes_of(base64: str) -> bytes:
    """The bytes of a parameter in base64 (RFC 4648). Raises Invalid."""
    try:
        return b64decode(base64, validate=True)
    except binascii.Error:
        raise Invalid("this is no base64 (RFC 4648)") from None


def _fits(value: Json, form: Any) -> bool:
    if form is Any:
        return True
    if get_origin(form) in (Union, UnionType):
        return any(_fits(value, part) for part in get_args(form))
    if get_origin(form) is list:
        (part,) = get_args(form)
        return isinstance(value, list) and all(_fits(item, part) for item in value)
    if form is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if form is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, form)


def _describe(form: Any) -> str:
    if get_origin(form) in (Union, UnionType):
        return " or ".join(_describe(part) for part in get_args(form))
    return "a list" if get_origin(form) is list else _NAMES.get(form, "a JSON value")
