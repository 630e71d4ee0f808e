"""The serial line: whoever holds the cable may send anything."""

from __future__ import annotations

from firmware_bridge import frame, slip
from firmware_bridge.frame import Coap, Decoder, Frame


def fuzz_slipmux(data: bytes) -> None:
    """Chunking changes nothing, what is accepted round-trips, and the next good frame gets through."""
    whole = Decoder()
    found = whole.receive(data)
    split = Decoder()
    pieces: list[Frame] = []
    size = 1 + len(data) // 7
    for at in range(0, len(data), size):
        pieces += split.receive(data[at : at + size])
    assert pieces == found
    assert split.counters == whole.counters
    again = Decoder().receive(b"".join(map(frame.encode, found)))
    assert again == found
    good = Coap(b"good")
    assert whole.receive(frame.encode(good))[-1] == good


def fuzz_slip_piece(data: bytes) -> None:
    """A piece of the line is damage, or escapes back to exactly itself."""
    piece = data.replace(slip.END, b"")
    unescaped = slip.unescape(piece)
    if not isinstance(unescaped, slip.Damage):
        assert slip.encode(unescaped)[1:-1] == piece
