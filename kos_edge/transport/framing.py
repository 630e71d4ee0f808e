"""One CoAP-over-TCP connection as a machine: bytes in, messages out (RFC 8323).

Until the other side is authenticated nothing longer than 2 KiB is taken; after that 72 KiB, which is
announced in a second Capabilities message. Bytes that break the framing end the connection, since nothing
behind them can be trusted to begin where a message begins.
"""

from __future__ import annotations

from typing import Final

from kos_edge.errors import Invalid, Misuse
from kos_edge.transport.coap import Message, is_request, is_response
from kos_edge.transport.wire import decode_options, encode_body, encode_options, encode_uint

# Signalling codes, RFC 8323 section 5.
CSM: Final = 0xE1
PING: Final = 0xE2
PONG: Final = 0xE3
RELEASE: Final = 0xE4
ABORT: Final = 0xE5

MAX_BEFORE: Final = 2_048
"""Bytes of one message before authentication; the longest handshake message with an issuer chain is under 1
KiB.
"""

MAX_AFTER: Final = 73_728
"""Bytes of one message after it: 64 KiB of packs and 8 KiB for what is around them."""

MESSAGES_BEFORE: Final = 32
"""Messages of any kind before authentication: a handshake with every detour takes less than ten. The smallest has
two bytes, and one read of a socket brings a hundred thousand of them."""

TURN: Final = 64
"""Messages read at a time, so that whoever sends tiny ones holds nobody up; `read` goes on."""

DEFAULT_PEER_MAX: Final = 1_152
"""What every peer takes, until its Capabilities say more: RFC 8323 section 5.3.1."""

_MAX_MESSAGE_SIZE: Final = 2


class Stream:
    """One connection. Used once; after `closed` is set it takes and gives nothing more.

    `receive` takes whatever the wire had; `messages()` gives the requests and responses that are complete;
    `pending()` gives the bytes to write. While `more` is set there may be further ones: `read()`.
    """

    def __init__(self) -> None:
        self.closed: str | None = None
        self.peer_max = DEFAULT_PEER_MAX
        self.peer_ready = False
        self.more = False
        self._before = 0
        self._limit = MAX_BEFORE
        self._in = bytearray()
        self._out: list[bytes] = []
        self._messages: list[Message] = []
        self._announce()

    @property
    def authenticated(self) -> bool:
        return self._limit == MAX_AFTER

    def authenticate(self) -> None:
        """The other side has proved who it is: take messages up to 72 KiB from now on, and say so."""
        if not self.authenticated:
            self._limit = MAX_AFTER
            self._announce()

    def send(self, message: Message) -> None:
        """Queue one request or response. `Misuse` when it is longer than the other side takes."""
        data = encode_frame(message)
        if len(data) > self.peer_max:
            raise Misuse(f"{len(data)} bytes are more than the {self.peer_max} that the other side takes")
        self._out.append(data)

    def receive(self, data: bytes) -> None:
        """Take bytes off the wire. Never raises: what breaks the rules closes the connection."""
        if self.closed is not None:
            return
        self._in += data
        self.read()

    def read(self) -> None:
        """Read at most 64 messages of what has come, and set `more` where that may not have been all."""
        self.more = False
        try:
            self._read()
        except Invalid as error:
            self._abort(error.message)

    def messages(self) -> list[Message]:
        """The complete requests and responses since the last call, in order."""
        taken, self._messages = self._messages, []
        return taken

    def pending(self) -> bytes:
        """The bytes to write since the last call."""
        taken, self._out = b"".join(self._out), []
        return taken

    @property
    def held(self) -> int:
        """Bytes that wait for the rest of their message."""
        return len(self._in)

    def ping(self) -> None:
        """Ask for a sign of life (RFC 8323 section 5.4)."""
        self._out.append(encode_frame(Message(PING)))

    def release(self) -> None:
        """Say that this side is done (RFC 8323 section 5.5), and close."""
        if self.closed is None:
            self._out.append(encode_frame(Message(RELEASE)))
            self.closed = "released here"

    def _announce(self) -> None:
        self._out.append(encode_frame(Message(CSM, options=((_MAX_MESSAGE_SIZE, encode_uint(self._limit)),))))

    def _abort(self, reason: str) -> None:
        self._out.append(encode_frame(Message(ABORT, payload=reason.encode()[:100])))
        self.closed = reason
        self._in.clear()

    def _read(self) -> None:
        buffer, at, taken = self._in, 0, 0
        while self.closed is None:
            if taken == TURN:
                self.more = True
                break
            taken += 1
            extent = frame_extent(buffer, at)
            if extent is None:
                break
            start, stop = extent
            if stop - at > self._limit:
                raise Invalid(f"a message of {stop - at} bytes, and at most {self._limit} are taken")
            if stop > len(buffer):
                break
            self._take(decode_frame(bytes(buffer[at:stop]), start - at))
            at = stop
        del buffer[:at]

    def _take(self, message: Message) -> None:
        code = message.code
        if not self.authenticated:
            self._before += 1
            if self._before > MESSAGES_BEFORE:
                raise Invalid(f"more than {MESSAGES_BEFORE} messages from whom nobody knows")
        if code == CSM:
            self._capabilities(message)
        elif not self.peer_ready:
            raise Invalid("the first message was not Capabilities and Settings")
        elif is_request(code) or is_response(code):
            self._messages.append(message)
        elif code >> 5 == 7:
            self._signal(message)
        elif code:
            raise Invalid("a code of a class that nobody has defined")

    def _capabilities(self, message: Message) -> None:
        for number, value in message.options:
            if number == _MAX_MESSAGE_SIZE and len(value) <= 4:
                self.peer_max = max(int.from_bytes(value, "big"), DEFAULT_PEER_MAX)
            elif number & 1:
                raise Invalid(f"capability {number} is critical and not known here")
        self.peer_ready = True

    def _signal(self, message: Message) -> None:
        if any(number & 1 for number, _ in message.options):
            raise Invalid("a signalling option that is critical and not known here")
        match message.code:
            case 0xE2:
                # Custody is promised only by a side that has seen to all before it; this one promises
                # nothing.
                self._out.append(encode_frame(Message(PONG, message.token)))
            case 0xE3:
                pass
            case 0xE4:
                self.closed = "released by the other side"
            case 0xE5:
                self.closed = "aborted by the other side"
            case _:
                raise Invalid("a signalling code that nobody has defined")


def encode_frame(message: Message) -> bytes:
    """A message as RFC 8323 section 3.2 puts it on a stream."""
    body = encode_body(encode_options(message.options), message.payload)
    size, token = len(body), message.token
    if size < 13:
        head = bytes((size << 4 | len(token),))
    elif size < 269:
        head = bytes((0xD0 | len(token), size - 13))
    elif size < 65_805:
        head = bytes((0xE0 | len(token),)) + (size - 269).to_bytes(2, "big")
    else:
        head = bytes((0xF0 | len(token),)) + (size - 65_805).to_bytes(4, "big")
    return b"".join((head, bytes((message.code,)), token, body))


def frame_extent(buffer: bytearray | bytes, at: int = 0) -> tuple[int, int] | None:
    """Where the code byte and the end of the frame at `at` are; None while its header is not complete.

    `Invalid` when the token would be longer than 8 bytes.
    """
    if at >= len(buffer):
        return None
    nibble, token = buffer[at] >> 4, buffer[at] & 15
    if token > 8:
        raise Invalid("a token of more than 8 bytes")
    extra = 0 if nibble < 13 else 1 << nibble - 13
    start = at + 1 + extra
    if start > len(buffer):
        return None
    size = nibble
    if extra:
        size = int.from_bytes(buffer[at + 1 : start], "big") + (13, 269, 65_805)[nibble - 13]
    return start, start + 1 + token + size


def decode_frame(frame: bytes, start: int) -> Message:
    """The message in one whole frame, whose code byte is at `start`; `Invalid` when its options are not
    well-formed.
    """
    token = start + 1 + (frame[0] & 15)
    options, payload = decode_options(frame, token)
    return Message(frame[start], frame[start + 1 : token], options, payload)
