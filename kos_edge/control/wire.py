"""Lines of the control socket: one JSON object each, in UTF-8.

A client sends requests, the daemon answers each by its id; several may be under way on one connection.

    {"id": 1, "verb": "publish", "params": {"topic": "a.b", "values": [21.5]}}
    {"id": 1, "result": {...}}                        a verb that answers once
    {"id": 1, "item": {...}} ... {"id": 1, "end": true}      a verb that answers with a stream
    {"id": 1, "error": {"kind": "refused", "message": "...", "hint": "..." or null}}
    {"id": 1, "cancel": true}                         from the client: stop that stream; answered by its end

A request is at most `REQUEST_LIMIT` bytes with its newline; a longer line ends the connection, since what
follows cannot be told from what came before. Closing the connection ends its streams.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kos_edge.control.reports import Failure, Json
from kos_edge.errors import Invalid, KosError, Misuse, Refused, Unavailable, Unknown

REQUEST_LIMIT = 1 << 20
"""Bytes of one request: sixteen of the largest messages (64 KiB) and their quoting."""

ANSWER_LIMIT = 64 << 20
"""Bytes of one answer that a client takes; a list of 100,000 peers is about 40 MB."""

_KINDS: dict[str, type[KosError]] = {
    "invalid": Invalid,
    "unavailable": Unavailable,
    "refused": Refused,
    "unknown": Unknown,
    "misuse": Misuse,
    "failed": KosError,
}


@dataclass(frozen=True, slots=True)
class Request:
    """A line from a client: a verb with its parameters, or the end of the stream with that id."""

    id: int
    verb: str
    params: dict[str, Json]
    cancel: bool = False


def encode(value: Json) -> bytes:
    """One line, newline included. Raises Invalid for what JSON does not have (NaN, bytes)."""
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise Invalid(f"not a JSON value: {error}") from None


def decode(text: str | bytes) -> Json:
    """The JSON value of a text. Raises Invalid, also for NaN, infinities and nesting beyond reason."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"not JSON: {error}") from None


def read_request(line: bytes) -> Request:
    """A client's line. Raises Invalid."""
    match decode(line):
        case {"id": int(number), "cancel": True} if not isinstance(number, bool):
            return Request(number, "", {}, cancel=True)
        case {"id": int(number), "verb": str(verb), **rest} if not isinstance(number, bool):
            params = rest.pop("params", {})
            if rest or not isinstance(params, dict):
                raise Invalid("a request has id, verb and params, an object, and nothing else")
            return Request(number, verb, params)
        case _:
            raise Invalid('a request is an object {"id": number, "verb": text, "params": {...}}')


def failure(error: KosError) -> Failure:
    """An error as JSON, under the most special of the kinds that it belongs to."""
    kind = next(kind for kind, form in _KINDS.items() if isinstance(error, form))
    return {"kind": kind, "message": error.message, "hint": error.hint}


def error_from(value: Any) -> KosError:
    """The error that `failure` wrote, to be raised again."""
    match value:
        case {"kind": str(kind), "message": str(message), **rest}:
            hint = rest.get("hint")
            return _KINDS.get(kind, KosError)(message, hint=hint if isinstance(hint, str) else None)
        case _:
            return Misuse("the daemon answered with something that is no error of ours")


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")
