"""Large requests over datagrams in blocks (RFC 7959 Block1, with Request-Tag of RFC 9175 section 3).

The blocks lie inside OSCORE: each is a protected request of its own, and only a member can begin one.
"""

from __future__ import annotations

from typing import Final

from kos_edge.errors import Invalid
from kos_edge.transport.coap import (
    BAD_REQUEST,
    BLOCK1,
    BLOCK2,
    CONTINUE,
    INCOMPLETE,
    REQUEST_TAG,
    SIZE1,
    TOO_LARGE,
    Options,
    Request,
    Response,
)
from kos_edge.transport.wire import encode_uint

BLOCK_SIZE: Final = 1_024
"""Bytes of payload in one block, the largest that RFC 7959 has for datagrams."""

MAX_BODY: Final = 73_728
"""Bytes of one reassembled body: the same as one message over a stream."""

MAX_AGE: Final = 60.0
"""Seconds without a new block after which an upload is forgotten; a block is tried for 45 s at most."""

_OWN: Final = (BLOCK1, SIZE1, REQUEST_TAG)


def block_value(number: int, more: bool, size: int) -> bytes:
    """A block option's value; `size` is a power of two from 16 to 1024 bytes (RFC 7959 section 2.2)."""
    return encode_uint(number << 4 | more << 3 | (size.bit_length() - 5))


def read_block(value: bytes) -> tuple[int, bool, int]:
    """(number, more to come, size in bytes); `Invalid` when it is longer than three bytes or the size
    reserved.
    """
    number = int.from_bytes(value, "big")
    if len(value) > 3 or number & 7 == 7:
        raise Invalid("a block option that is too long or of a reserved size")
    return number >> 4, bool(number >> 3 & 1), 16 << (number & 7)


class Upload:
    """One large request on its way out: ask for `block()`, hand in the response, until that gives the last
    one.
    """

    def __init__(self, request: Request, tag: bytes) -> None:
        self._request = request
        self._tag = tag
        self._size = BLOCK_SIZE
        self._at = 0

    def block(self) -> Request:
        """The request that carries the next block."""
        request, at = self._request, self._at
        part = request.payload[at : at + self._size]
        more = at + len(part) < len(request.payload)
        extra: Options = ((BLOCK1, block_value(at // self._size, more, self._size)), (REQUEST_TAG, self._tag))
        if not at:
            extra += ((SIZE1, encode_uint(len(request.payload))),)
        return Request(request.code, request.path, part, request.content_format, request.options + extra)

    def answered(self, response: Response) -> Response | None:
        """The response to the last block sent: None to go on, else the answer to the whole request.

        `Invalid` when the other side goes on beyond the end or names a block that it was not sent.
        """
        if response.code != CONTINUE:
            return response
        number, _, size = read_block(response.option(BLOCK1) or b"")
        if number != self._at // self._size:
            raise Invalid("an answer to a block that was not the last one sent")
        self._at += self._size
        if self._at >= len(self._request.payload):
            raise Invalid("asked to go on beyond the end")
        self._size = min(self._size, size)
        return None


class Reassembly:
    """One session's upload on its way in. A new one replaces the one before it."""

    def __init__(self) -> None:
        self._key: tuple[int, str, Options] | None = None
        self._body = bytearray()
        self._touched = 0.0

    @property
    def held(self) -> int:
        """Bytes kept at the moment."""
        return len(self._body)

    def expire(self, now: float) -> None:
        """Forget an upload that has stood still for `MAX_AGE` seconds."""
        if self._key is not None and now - self._touched >= MAX_AGE:
            self._forget()

    def take(self, request: Request, now: float) -> Request | Response:
        """One request that may be a block: the whole request when it is complete, else what to answer."""
        value = request.option(BLOCK1)
        later = request.option(BLOCK2)
        if later is not None and int.from_bytes(later, "big") >> 4:
            return Response(BAD_REQUEST)
        if value is None:
            return request
        try:
            number, more, size = read_block(value)
        except Invalid:
            return Response(BAD_REQUEST)
        return self._block(request, number, more, size, now)

    def _block(self, request: Request, number: int, more: bool, size: int, now: float) -> Request | Response:
        self.expire(now)
        payload, at = request.payload, number * size
        kept = tuple(option for option in request.options if option[0] not in _OWN)
        key = (request.code, request.path, tuple(o for o in request.options if o[0] == REQUEST_TAG))
        if number == 0 and not (self._key == key and self._body.startswith(payload)):
            self._key, self._body = key, bytearray()
        if self._key != key or at > len(self._body):
            return Response(INCOMPLETE)
        if len(payload) > size or (more and len(payload) != size):
            self._forget()
            return Response(BAD_REQUEST)
        if at + len(payload) > MAX_BODY:
            self._forget()
            return Response(TOO_LARGE, options=((SIZE1, encode_uint(MAX_BODY)),))
        self._touched = now
        if at == len(self._body):
            self._body += payload
        elif self._body[at : at + len(payload)] != payload:
            self._forget()
            return Response(INCOMPLETE)
        if more:
            return Response(CONTINUE, options=((BLOCK1, block_value(number, True, size)),))
        body = bytes(self._body[: at + len(payload)])
        self._forget()
        return Request(request.code, request.path, body, request.content_format, kept)

    def _forget(self) -> None:
        self._key, self._body = None, bytearray()
