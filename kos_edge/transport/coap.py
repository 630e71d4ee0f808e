"""CoAP as values: messages, requests, responses, and the numbers of the registries (RFC 7252)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from kos_edge.errors import Invalid

Options = tuple[tuple[int, bytes], ...]
"""Option numbers with their values, in rising order of number."""

# Message types, RFC 7252 section 3.
CON: Final = 0
NON: Final = 1
ACK: Final = 2
RST: Final = 3

# Codes: class << 5 | detail. RFC 7252 section 12.1, RFC 7959, RFC 8132.
EMPTY: Final = 0x00
GET: Final = 0x01
POST: Final = 0x02
PUT: Final = 0x03
DELETE: Final = 0x04
FETCH: Final = 0x05
CREATED: Final = 0x41
DELETED: Final = 0x42
VALID: Final = 0x43
CHANGED: Final = 0x44
CONTENT: Final = 0x45
CONTINUE: Final = 0x5F
BAD_REQUEST: Final = 0x80
UNAUTHORIZED: Final = 0x81
BAD_OPTION: Final = 0x82
FORBIDDEN: Final = 0x83
NOT_FOUND: Final = 0x84
METHOD_NOT_ALLOWED: Final = 0x85
INCOMPLETE: Final = 0x88
CONFLICT: Final = 0x89
TOO_LARGE: Final = 0x8D
UNSUPPORTED_FORMAT: Final = 0x8F
TOO_MANY_REQUESTS: Final = 0x9D
INTERNAL_ERROR: Final = 0xA0
SERVICE_UNAVAILABLE: Final = 0xA3

# Option numbers.
URI_HOST: Final = 3
URI_PORT: Final = 7
OSCORE: Final = 9
URI_PATH: Final = 11
CONTENT_FORMAT: Final = 12
MAX_AGE: Final = 14
URI_QUERY: Final = 15
ACCEPT: Final = 17
EDHOC: Final = 21
BLOCK2: Final = 23
BLOCK1: Final = 27
PROXY_URI: Final = 35
PROXY_SCHEME: Final = 39
SIZE1: Final = 60
ECHO: Final = 252
REQUEST_TAG: Final = 292

# Content formats: RFC 6690, RFC 9528 section 10.9.
LINK_FORMAT: Final = 40
OCTET_STREAM: Final = 42
CBOR: Final = 60
EDHOC_CBOR_SEQ: Final = 64
CID_EDHOC_CBOR_SEQ: Final = 65

MAX_TOKEN: Final = 8
MAX_PATH: Final = 255


class Message(NamedTuple):
    """One CoAP message; `kind` and `mid` mean something on datagrams only."""

    code: int
    token: bytes = b""
    options: Options = ()
    payload: bytes = b""
    kind: int = NON
    mid: int = 0

    def option(self, number: int) -> bytes | None:
        """The value of the first option of that number, or None."""
        for found, value in self.options:
            if found == number:
                return value
        return None


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks of a resource: method, path like `/klp`, body, and further options by number."""

    code: int
    path: str
    payload: bytes = b""
    content_format: int | None = None
    options: Options = ()

    def option(self, number: int) -> bytes | None:
        """The value of the first further option of that number, or None."""
        return next((value for found, value in self.options if found == number), None)

    @property
    def echo(self) -> bytes | None:
        """The Echo value that the client repeats (RFC 9175 section 2), or None."""
        return self.option(ECHO)


@dataclass(frozen=True, slots=True)
class Response:
    """What a resource answers."""

    code: int
    payload: bytes = b""
    content_format: int | None = None
    options: Options = ()
    reachable: bool = field(default=False, compare=False)
    """Whoever asked has shown that its address is its own: the answer may be longer than three times its request."""

    def option(self, number: int) -> bytes | None:
        """The value of the first further option of that number, or None."""
        return next((value for found, value in self.options if found == number), None)

    @property
    def echo(self) -> bytes | None:
        """The Echo value that the server asks to be repeated (RFC 9175 section 2), or None."""
        return self.option(ECHO)

    @property
    def ok(self) -> bool:
        """Whether the code is of class 2, success."""
        return self.code >> 5 == 2


def is_request(code: int) -> bool:
    return 0 < code < 0x20


def is_response(code: int) -> bool:
    return code >> 5 in (2, 4, 5)


def code_text(code: int) -> str:
    """The dotted form people know: 4.01."""
    return f"{code >> 5}.{code & 31:02}"


_CRITICAL_KNOWN: Final = frozenset(
    (URI_HOST, URI_PORT, OSCORE, URI_PATH, URI_QUERY, ACCEPT, EDHOC, BLOCK2, BLOCK1)
)


def read_request(code: int, options: Options, payload: bytes) -> Request:
    """A request from its parts. `Invalid` on a path that is not text, or an unknown critical option."""
    parts: list[str] = []
    content_format: int | None = None
    rest: list[tuple[int, bytes]] = []
    for number, value in options:
        if number == URI_PATH:
            parts.append(_segment(value))
        elif number == CONTENT_FORMAT and len(value) <= 2:
            content_format = int.from_bytes(value, "big")
        else:
            check_critical(number)
            rest.append((number, value))
    path = "/" + "/".join(parts)
    if len(path) > MAX_PATH:
        raise Invalid("a path that is too long")
    return Request(code, path, payload, content_format, tuple(rest))


def read_response(code: int, options: Options, payload: bytes) -> Response:
    """A response from its parts. `Invalid` on an unknown critical option (RFC 7252 section 5.4.1)."""
    content_format: int | None = None
    rest: list[tuple[int, bytes]] = []
    for number, value in options:
        if number == CONTENT_FORMAT and len(value) <= 2:
            content_format = int.from_bytes(value, "big")
        else:
            check_critical(number)
            rest.append((number, value))
    return Response(code, payload, content_format, tuple(rest))


def check_critical(number: int) -> None:
    """`Invalid` when an option must be understood and is not: those are odd (RFC 7252 section 5.4.6)."""
    if number & 1 and number not in _CRITICAL_KNOWN:
        raise Invalid(f"option {number} is critical and not known here")


def _segment(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Invalid("a path segment that is not UTF-8") from None
    if "/" in text:
        raise Invalid("a path segment with a slash in it")
    return text
