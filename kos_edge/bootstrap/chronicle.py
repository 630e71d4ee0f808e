"""The chronicle of starts as bytes: SHA-256 of the rest, then CBOR. It is a node's own file, never sent."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import Enum
from typing import Any, TypeVar

from kos_edge.bootstrap.sequence import (
    ATTEMPTS_KEPT,
    MAX_SAID,
    ORDERS_KEPT,
    Attempt,
    Chronicle,
    Ending,
    Mark,
    Mode,
    Ordered,
    Outcome,
    Step,
    Wish,
)
from kos_edge.errors import Invalid
from kos_edge.klp import cbor
from kos_edge.klp.fields import Fields, required

MAX_CHRONICLE = 65_536
_CHECK = 32
_MODES, _OUTCOMES, _ENDINGS = list(Mode), list(Outcome), list(Ending)
_E = TypeVar("_E", bound=Enum)


def to_bytes(chronicle: Chronicle) -> bytes:
    """The content of the file."""
    wish = chronicle.wish
    body = cbor.encode(
        {
            1: [_attempt(each) for each in chronicle.attempts],
            2: min(chronicle.failures, 255),
            3: None if wish is None else [_MODES.index(wish.mode), wish.cause],
            4: [[each.name, _MODES.index(each.mode), each.at, each.raw] for each in chronicle.orders],
        }
    )
    return hashlib.sha256(body).digest() + body


def from_bytes(data: bytes) -> Chronicle:
    """The chronicle in the file. Raises Invalid for one that is damaged."""
    body = data[_CHECK:]
    if len(data) > MAX_CHRONICLE or hashlib.sha256(body).digest() != data[:_CHECK]:
        raise Invalid("its checksum is wrong")
    fields = Fields(cbor.decode(body), "a chronicle")
    attempts, wish = _items(fields.any(1), ATTEMPTS_KEPT), fields.any(3)
    chronicle = Chronicle(
        tuple(map(_read_attempt, attempts)),
        required(fields.uint(2, 255), "a chronicle counts failures"),
        None if wish is None else _read_wish(wish),
        tuple(map(_read_order, _items(fields.any(4), ORDERS_KEPT))),
    )
    fields.done()
    return chronicle


def _attempt(attempt: Attempt) -> dict[int, Any]:
    marks = [
        None
        if mark is None
        else [_OUTCOMES.index(mark.outcome), round(mark.seconds * 1000), mark.said, mark.mend]
        for mark in attempt.marks
    ]
    return {
        1: attempt.number,
        2: _MODES.index(attempt.mode),
        3: attempt.cause,
        4: attempt.reason,
        5: attempt.version,
        6: attempt.settings,
        7: attempt.boot,
        8: attempt.at,
        9: marks,
        10: attempt.stayed,
        11: _ENDINGS.index(attempt.ending),
        12: attempt.error,
    }


def _read_attempt(wire: object) -> Attempt:
    fields = Fields(wire, "a start")
    marks, stayed = _items(fields.any(9), len(Step)), fields.any(10)
    if len(marks) != len(Step) or type(stayed) is not bool:
        raise Invalid("a start has a mark for each step")
    attempt = Attempt(
        number=required(fields.uint(1, 2**53), "a start has a number"),
        mode=_one_of(_MODES, fields.any(2)),
        cause=_text(fields.any(3)),
        reason=_text(fields.any(4)),
        version=_text(fields.any(5)),
        settings=fields.bytes(6, 0, 32) or b"",
        boot=_text(fields.any(7)),
        at=required(fields.uint(8, 2**53), "a start has a time"),
        marks=tuple(map(_read_mark, marks)),
        stayed=stayed,
        ending=_one_of(_ENDINGS, fields.any(11)),
        error=_text(fields.any(12)),
    )
    fields.done()
    return attempt


def _read_mark(wire: object) -> Mark | None:
    match wire:
        case None:
            return None
        case [outcome, int(ms), said, mend] if type(ms) is int and ms >= 0:
            return Mark(_one_of(_OUTCOMES, outcome), ms / 1000, _text(said), _text(mend))
    raise Invalid("a mark is [outcome, ms, said, mend]")


def _read_wish(wire: object) -> Wish:
    match wire:
        case [mode, cause]:
            return Wish(_one_of(_MODES, mode), _text(cause))
    raise Invalid("a wish is [mode, cause]")


def _read_order(wire: object) -> Ordered:
    match wire:
        case [name, mode, int(at), bytes(raw)] if type(at) is int and at >= 0:
            return Ordered(_text(name), _one_of(_MODES, mode), at, raw)
    raise Invalid("an order is [name, mode, time, as signed]")


def _one_of(choices: Sequence[_E], number: object) -> _E:
    if type(number) is not int or not 0 <= number < len(choices):
        raise Invalid("a chronicle has a word that is not known here")
    return choices[number]


def _text(value: object) -> str:
    if type(value) is not str or len(value) > MAX_SAID:
        raise Invalid(f"what a chronicle says are texts of at most {MAX_SAID} characters")
    return value


def _items(value: object, most: int) -> list[Any]:
    if type(value) is not list or len(value) > most:
        raise Invalid(f"a chronicle has at most {most} of a kind")
    return value
