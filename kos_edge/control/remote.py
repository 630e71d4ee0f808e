"""Verbs that come over a session instead of the control socket: what an operator's station asks of a hub.

The normative text is `docs/protocol/admin.md`. An answer may be longer than a datagram, or a message: it is fetched in
parts, by the id of its request. The same id is never carried out twice, so a station asks again until it has heard.

    ask    = [id, from, verb and params as JSON]          POST /kos/admin, request
    answer = [total, from, part of the JSON]              POST /kos/admin, response
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kos_edge.control.reports import Json
from kos_edge.control.wire import decode
from kos_edge.errors import Invalid
from kos_edge.klp import cbor

ADMIN_PATH = "/kos/admin"
ID_BYTES = 8
MAX_ASK = 8_192
"""Bytes of one request with all its parameters."""

MAX_ANSWER = 4 << 20
"""Bytes of one answer: the peers of a mesh of 10,000."""

DATAGRAM_PART = 900
"""Bytes of a part in a datagram, inside OSCORE."""

STREAM_PART = 60_000

CHANGES: frozenset[str] = frozenset({"invite", "allow", "admit", "reject", "revoke", "rename", "bootstrap"})
LOOKS: frozenset[str] = frozenset({"status", "peers", "pending", "queue", "queue_dead", "forecast"})
VERBS: frozenset[str] = CHANGES | LOOKS
"""What may be asked; everything else is done at the hub itself."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, or its answer's next part: then `line` is not needed."""

    id: bytes
    at: int
    line: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an answer of `total` bytes, from `at` on."""

    total: int
    at: int
    data: bytes = field(repr=False)


def encode_ask(ask: Ask) -> bytes:
    """The body of the request."""
    return cbor.encode([ask.id, ask.at, ask.line])


def decode_ask(data: bytes) -> Ask:
    """Read a request's body. Raises Invalid."""
    match cbor.decode(data, limit=MAX_ASK):
        case [bytes(ident), int(at), bytes(line)] if len(ident) == ID_BYTES and type(at) is int:
            if 0 <= at <= MAX_ANSWER:
                return Ask(ident, at, line)
    raise Invalid("what a station asks is [id, from, line]")


def encode_part(part: Part) -> bytes:
    """The body of the response."""
    return cbor.encode([part.total, part.at, part.data])


def decode_part(data: bytes) -> Part:
    """Read a response's body. Raises Invalid."""
    match cbor.decode(data):
        case [int(total), int(at), bytes(part)] if type(total) is type(at) is int:
            if 0 <= at <= at + len(part) <= total <= MAX_ANSWER and (part or not total):
                return Part(total, at, part)
    raise Invalid("an answer to a station is [total, from, part]")


def read_line(line: bytes) -> tuple[str, dict[str, Json]]:
    """The verb and its parameters, unchecked. Raises Invalid."""
    match decode(line):
        case {"verb": str(verb), "params": dict(params), **rest} if not rest:
            return verb, params
    raise Invalid('a station asks with {"verb": text, "params": {...}}')
