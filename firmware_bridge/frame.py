"""Slipmux (draft-bormann-t2trg-slipmux): CoAP and log text sharing one serial line.

The first byte of a SLIP frame says what it is: A9 a CoAP message with a checksum behind it, 0A text that the
device prints. `printf` and CoAP can so use the same wire. A frame that is damaged is dropped without a word:
CoAP repeats what is not acknowledged.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass

from firmware_bridge import slip

COAP = 0xA9
LOG = 0x0A

COAP_HEADER = 4
"""Bytes of the shortest CoAP message (RFC 7252, section 3)."""

MESSAGE_LIMIT = 1152
"""Longest CoAP message or log text, in bytes (RFC 7252, section 4.6). RIOT boards take 128."""

FCS_SIZE = 2

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class Coap:
    """One CoAP message, as bytes: at least its four-byte header."""

    message: bytes


@dataclass(frozen=True, slots=True)
class Log:
    """Text that a device printed, not to be trusted: escape and cut it before it is shown."""

    text: bytes


Frame = Coap | Log


@dataclass(slots=True)
class Counters:
    """What has come over the line since it was opened."""

    coap: int = 0
    log: int = 0
    bad_checksum: int = 0
    bad_escape: int = 0
    aborted: int = 0
    overlong: int = 0
    short: int = 0
    unknown: int = 0

    @property
    def dropped(self) -> int:
        """Frames that were no good, for whatever reason."""
        faults = (self.bad_checksum, self.bad_escape, self.aborted, self.overlong, self.short, self.unknown)
        return sum(faults)


def fcs16(data: bytes) -> int:
    """The checksum of HDLC (RFC 1662, section C.2): 906E for b"123456789".

    `binascii` knows the same polynomial the other way round, so the bits are turned on the way in and out;
    that is five times as fast as a table in Python.
    """
    turned = binascii.crc_hqx(data.translate(_REVERSED), 0xFFFF) ^ 0xFFFF
    return _REVERSED[turned & 0xFF] << 8 | _REVERSED[turned >> 8]


def encode(frame: Frame) -> bytes:
    """The bytes on the line for one frame. Raises ValueError for a message that no receiver would take."""
    match frame:
        case Coap(message):
            if not COAP_HEADER <= len(message) <= MESSAGE_LIMIT:
                raise ValueError(f"a CoAP message has 4 to {MESSAGE_LIMIT} bytes, not {len(message)}")
            body = bytes([COAP]) + message
            return slip.encode(body + fcs16(body).to_bytes(FCS_SIZE, "little"))
        case Log(text):
            if len(text) > MESSAGE_LIMIT:
                raise ValueError(f"a log text has at most {MESSAGE_LIMIT} bytes, not {len(text)}")
            return slip.encode(bytes([LOG]) + text)


class Decoder:
    """Bytes of the line in, in pieces of any size; good frames out, in order. Bad ones are counted.

    After damage it is in step again at the next END. It takes no time and does no input or output.
    """

    def __init__(self, limit: int = MESSAGE_LIMIT) -> None:
        """`limit`: the longest CoAP message or text to accept, in bytes."""
        self.counters = Counters()
        self._slip = slip.Decoder(1 + limit + FCS_SIZE)
        self._limit = limit

    def receive(self, data: bytes) -> list[Frame]:
        """The good frames that became complete with `data`."""
        frames = (self._count(piece) for piece in self._slip.receive(data))
        return [frame for frame in frames if frame is not None]

    def reset(self) -> None:
        """Forget what has been gathered of a frame: the line was opened anew. The counters stay."""
        self._slip.reset()

    def _count(self, piece: bytes | slip.Damage) -> Frame | None:
        counters = self.counters
        match piece:
            case slip.Damage(slip.Fault.OVERLONG):
                counters.overlong += 1
            case slip.Damage(slip.Fault.ABORTED):
                counters.aborted += 1
            case slip.Damage(slip.Fault.ESCAPE):
                counters.bad_escape += 1
            case bytes() if piece[0] == COAP:
                return self._coap(piece)
            case bytes() if piece[0] == LOG:
                return self._log(piece)
            case _:
                counters.unknown += 1
        return None

    def _coap(self, piece: bytes) -> Coap | None:
        body, fcs = piece[:-FCS_SIZE], piece[-FCS_SIZE:]
        if len(body) < 1 + COAP_HEADER:
            self.counters.short += 1
            return None
        if fcs16(body) != int.from_bytes(fcs, "little"):
            self.counters.bad_checksum += 1
            return None
        self.counters.coap += 1
        return Coap(body[1:])

    def _log(self, piece: bytes) -> Log | None:
        if len(piece) > 1 + self._limit:
            self.counters.overlong += 1
            return None
        self.counters.log += 1
        return Log(piece[1:])
