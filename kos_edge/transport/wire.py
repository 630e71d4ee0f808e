"""CoAP messages as bytes: options, bodies and datagrams (RFC 7252 section 3).

Everything that arrives is read here before anyone is trusted, so the rules are strict: what is not a
well-formed message is `Invalid`, nothing else escapes, and reading leaves no memory behind.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from kos_edge.errors import Invalid, Misuse
from kos_edge.transport.coap import (
    ACK,
    CONTENT_FORMAT,
    EMPTY,
    MAX_PATH,
    MAX_TOKEN,
    NON,
    RST,
    URI_PATH,
    Message,
    Options,
    Request,
    Response,
    is_request,
    is_response,
)

MAX_OPTIONS: Final = 64
"""No message of ours has more than ten; the bound keeps a hostile one cheap."""


def encode_uint(value: int) -> bytes:
    """An unsigned integer as an option value: no leading zeros, 0 is empty (RFC 7252 section 3.2)."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def encode_options(options: Options) -> bytes:
    """The options as RFC 7252 section 3.1 has them. `Misuse` when numbers fall or are out of range."""
    out = bytearray()
    last = 0
    for number, value in options:
        delta, length = number - last, len(value)
        if delta < 0 or number > 0xFFFF or length > 0xFFFF:
            raise Misuse("options must rise by number, and number and length must fit 16 bits")
        last = number
        head = (delta << 4 if delta < 13 else 0xD0 if delta < 269 else 0xE0) | (
            length if length < 13 else 13 if length < 269 else 14
        )
        out.append(head)
        for extended in (delta, length):
            if extended >= 269:
                out += (extended - 269).to_bytes(2, "big")
            elif extended >= 13:
                out.append(extended - 13)
        out += value
    return bytes(out)


def decode_options(data: bytes, at: int = 0) -> tuple[Options, bytes]:
    """Options and payload from `data[at:]`; `Invalid` when they break RFC 7252 section 3.1."""
    found: list[tuple[int, bytes]] = []
    number, end = 0, len(data)
    while at < end:
        head = data[at]
        at += 1
        if head == 0xFF:
            if at == end:
                raise Invalid("a payload marker with no payload behind it")
            return tuple(found), data[at:]
        delta, length = head >> 4, head & 15
        if delta > 12:
            delta, at = _extended(data, at, delta)
        if length > 12:
            length, at = _extended(data, at, length)
        number += delta
        stop = at + length
        if number > 0xFFFF or stop > end or len(found) == MAX_OPTIONS:
            raise Invalid("an option that reaches past its message, or is out of range")
        found.append((number, data[at:stop]))
        at = stop
    return tuple(found), b""


def _extended(data: bytes, at: int, nibble: int) -> tuple[int, int]:
    size = nibble - 12
    if nibble == 15 or at + size > len(data):
        raise Invalid("an option header that is cut short or reserved")
    return int.from_bytes(data[at : at + size], "big") + (13 if size == 1 else 269), at + size


def encode_body(options: bytes, payload: bytes) -> bytes:
    """Encoded options and payload with the marker between them."""
    return options + b"\xff" + payload if payload else options


def encode_datagram(message: Message) -> bytes:
    """A whole message as RFC 7252 section 3 puts it in a datagram."""
    code, token, options, payload, kind, mid = message
    head = bytes((0x40 | kind << 4 | len(token), code, mid >> 8, mid & 0xFF))
    return head + token + encode_body(encode_options(options), payload)


def decode_datagram(data: bytes) -> Message:
    """The message in a datagram; `Invalid` for anything that RFC 7252 section 3 does not allow."""
    if len(data) < 4:
        raise Invalid("shorter than a CoAP header")
    first, code = data[0], data[1]
    kind, size = first >> 4 & 3, first & 15
    if first >> 6 != 1 or size > MAX_TOKEN or len(data) < 4 + size:
        raise Invalid("not a CoAP header of version 1")
    mid = data[2] << 8 | data[3]
    if code == EMPTY:
        if len(data) != 4 or kind == NON:
            raise Invalid("an empty message with something in it, or one that asks for nothing")
        return Message(EMPTY, b"", (), b"", kind, mid)
    if kind == RST or not (is_request(code) or is_response(code)) or (kind == ACK and is_request(code)):
        raise Invalid("a code that this type of message cannot carry")
    options, payload = decode_options(data, 4 + size)
    return Message(code, data[4 : 4 + size], options, payload, kind, mid)


@lru_cache(maxsize=256)
def _encoded_head(path: str, content_format: int | None, options: Options) -> bytes:
    return encode_options(_joined(_path_options(path), content_format, options))


def _joined(first: Options, content_format: int | None, options: Options) -> Options:
    form = () if content_format is None else ((CONTENT_FORMAT, encode_uint(content_format)),)
    return tuple(sorted(first + form + options, key=lambda option: option[0]))


def _path_options(path: str) -> Options:
    if not path.startswith("/") or len(path.encode()) > MAX_PATH:
        raise Misuse(f"a path begins with / and has at most {MAX_PATH} bytes: {path!r}")
    return () if path == "/" else tuple((URI_PATH, part.encode()) for part in path[1:].split("/"))


def request_options(request: Request) -> Options:
    """All options of a request, path and content format among them."""
    return _joined(_path_options(request.path), request.content_format, request.options)


def response_options(response: Response) -> Options:
    """All options of a response, content format among them."""
    return _joined((), response.content_format, response.options)


def encode_request(request: Request) -> bytes:
    """Code, options and payload: what OSCORE encrypts (RFC 8613 section 5.3)."""
    options = request.options
    if len(options) > 1:  # block options differ each time and would only push others out of the cache
        head = encode_options(request_options(request))
    else:
        head = _encoded_head(request.path, request.content_format, options)
    return encode_body(bytes((request.code,)) + head, request.payload)


def encode_response(response: Response) -> bytes:
    """Code, options and payload: what OSCORE encrypts (RFC 8613 section 5.3)."""
    head = encode_options(response_options(response))
    return encode_body(bytes((response.code,)) + head, response.payload)
