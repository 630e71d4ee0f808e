"""SLIP (RFC 1055): how frames are told apart on a serial line.

A frame stands between END bytes; END and ESC inside it are escaped. Nothing else of the line is trusted: a
frame has a length bound from its first byte, and whatever arrives, the next END starts afresh.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

END = b"\xc0"
ESC = b"\xdb"
ESCAPED_END = b"\xdb\xdc"
ESCAPED_ESC = b"\xdb\xdd"


class Fault(Enum):
    """Why a piece of the line is no frame."""

    OVERLONG = "longer than the bound"
    ABORTED = "given up by its sender: it ends in ESC"
    ESCAPE = "ESC followed by a byte that is no escape"


@dataclass(frozen=True, slots=True)
class Damage:
    """A piece of the line that was dropped, and why."""

    fault: Fault


def encode(frame: bytes) -> bytes:
    """The bytes on the line for one frame, with an END on either side.

    The END in front ends whatever noise the receiver has gathered so far.
    """
    return END + frame.replace(ESC, ESCAPED_ESC).replace(END, ESCAPED_END) + END


def unescape(piece: bytes) -> bytes | Damage:
    """The frame in what stood between two ENDs; `piece` holds no END."""
    escapes = piece.count(ESC)
    if escapes == 0:
        return piece
    if escapes != piece.count(ESCAPED_END) + piece.count(ESCAPED_ESC):
        return Damage(Fault.ABORTED if piece.endswith(ESC) else Fault.ESCAPE)
    return piece.replace(ESCAPED_END, END).replace(ESCAPED_ESC, ESC)


class Decoder:
    """Bytes of the line in, in pieces of any size; whole frames out, in order.

    Holds at most twice `limit` bytes, since each byte of a frame may be escaped. `limit` is in bytes of the
    frame as it was before escaping. Empty frames, which two ENDs in a row make, are no frames.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError("a frame has at least one byte")
        self._limit = limit
        self._held = bytearray()
        self._overlong = False

    def receive(self, data: bytes) -> list[bytes | Damage]:
        """What became complete with `data`."""
        first, *others = data.split(END)
        if not others:
            self._hold(first)
            return []
        self._hold(first)
        found = [self._end()]
        *whole, rest = others
        for piece in whole:
            self._hold(piece)
            found.append(self._end())
        self._hold(rest)
        return [frame for frame in found if frame is not None]

    def reset(self) -> None:
        """Forget what has been gathered of a frame: the line was opened anew."""
        self._held.clear()
        self._overlong = False

    def _hold(self, piece: bytes) -> None:
        if self._overlong:
            return
        if len(self._held) + len(piece) > 2 * self._limit:
            self._held.clear()
            self._overlong = True
            return
        self._held += piece

    def _end(self) -> bytes | Damage | None:
        overlong, piece = self._overlong, bytes(self._held)
        self.reset()
        if overlong:
            return Damage(Fault.OVERLONG)
        frame = unescape(piece)
        if isinstance(frame, Damage):
            return frame
        if len(frame) > self._limit:
            return Damage(Fault.OVERLONG)
        return frame or None
