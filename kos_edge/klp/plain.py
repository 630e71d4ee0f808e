"""Plain readings recognised by their bytes: one regular expression in place of decoding.

Nine in ten messages of a mesh are readings of numbers. A receiver has to know of each that its
encoding is the deterministic one and that it keeps the grammar; decoding it to find out takes 11 microseconds, this 1.
What the expression does not match may be as good: it is decoded. So it errs on one side only, and `decode_message`
takes all that it matches (`tests/klp/test_plain.py` tries).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from kos_edge.klp.table import Form, Table


def _either(*choices: bytes) -> bytes:
    return b"(?:" + b"|".join(choices) + b")"


def _integer(major: int) -> bytes:
    """An integer of up to four bytes in its shortest form (RFC 8949 section 4.2.1)."""
    kind = major << 5
    lone = b"[\\x%02x-\\x%02x]" % (kind, kind | 23)
    one, two, four = (b"\\x%02x" % (kind | info) for info in (24, 25, 26))
    return _either(lone, one + rb"[\x18-\xff]", two + rb"(?!\x00)..", four + rb"(?!\x00\x00)....")


_UINT, _NINT = _integer(0), _integer(1)
_TEXT = _either(*(b"\\x%02x[\\x00-\\x7f]{%d}" % (0x60 | size, size) for size in range(1, 24)))
_CLEAR_5 = b"[" + b"".join(b"\\x%02x" % (high << 5) for high in range(8)) + b"]"  # the last five bits are 0
_FLOAT = _either(
    rb"\xf9(?![\x7c-\x7f\xfc-\xff])..",
    # Infinite and NaN are left to the decoder, and so is what has only bits that the next shorter width has too.
    rb"\xfa(?![\x7f\xff][\x80-\xff])(?!.." + _CLEAR_5 + rb"\x00)....",
    rb"\xfb(?![\x7f\xff][\xf0-\xff])(?!...." + _CLEAR_5 + rb"\x00\x00\x00)........",
)
_NUMBER = _either(_FLOAT, _UINT, _NINT)
_OFFSET = _either(_UINT, _NINT)

_MOST_VALUES = 20
"""Values of a reading that is recognised at most: so many stand behind one byte of an array's head."""

_NAME, _UNIT, _VALUE = rb"\x00" + _TEXT, rb"\x01" + _TEXT, rb"\x02" + _NUMBER
_RECORD = _either(
    rb"\xa3" + _NAME + _UNIT + _VALUE, rb"\xa2" + _either(_NAME, _UNIT) + _VALUE, rb"\xa1" + _VALUE
)
_RECORDS = _either(*(b"\\x%02x" % (0x80 | count) + _RECORD + b"{%d}" % count for count in range(1, 9)))
_WRITTEN_OUT = re.compile(
    rb"\x84[\x00-\x17]\x02" + _OFFSET + rb"\xa2\x01\x18\x70\x02" + _RECORDS, re.DOTALL
).fullmatch

Match = Callable[[bytes], object]


def unsure(slots: Sequence[object], table: Table) -> list[int]:
    """The indexes of all slots but those that are certainly well-formed readings without options.

    The pack of the slots has this topic table. What is not bytes is among the indexes.
    """
    matches = [_match(entry.form) for entry in table]
    size = len(matches)
    return [
        index
        for index, slot in enumerate(slots)
        if type(slot) is not bytes or len(slot) < 2 or slot[1] >= size or matches[slot[1]](slot) is None
    ]


def _match(form: Form | None) -> Match:
    return _WRITTEN_OUT if form is None else _in_form(len(form.fields))


@lru_cache
def _in_form(count: int) -> Match:
    """What matches readings of so many numbers in a form."""
    if count > _MOST_VALUES:
        return _nothing
    head = b"\\x%02x[\\x00-\\x17]\\x00" % (0x83 + count) + _OFFSET
    return re.compile(head + _NUMBER + b"{%d}" % count, re.DOTALL).fullmatch


def _nothing(_slot: bytes) -> None:
    """No slot."""
