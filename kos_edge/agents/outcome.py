"""How a call can end, as a value, on the wire, and as what the caller sees.

An answer is data of schema "kos.answer", `{"status": "accepted" | "progress" | "done", "value": …}`, or an
error whose code is the way the call ended. Both name the call by their correlation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from kos_edge.agents.tally import shown
from kos_edge.errors import Invalid, KosError, Refused, Unavailable, Unknown
from kos_edge.klp import cbor
from kos_edge.klp.body import ANSWER_SCHEMA, Data, Error, Payload
from kos_edge.klp.body import answer as answer_data

CALL_TOPIC = "kos.call"
ANSWER_TOPIC = "kos.answer"
ASK_ACTION = "kos.outcome"
"""The action that asks what became of an earlier call: `{"id": …, "age_s": …}`, the age as far as it is
known.
"""

KEPT_S = 24 * 3600
"""Seconds for which a node knows what became of a call."""

_TEXT_SENT = 500
"""Characters of an error's text that travel."""


class End(Enum):
    """The four ways in which a call ends; all but the first are codes of an error on the wire."""

    DONE = "done"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


_ERRORS: dict[End, type[KosError]] = {
    End.REFUSED: Refused,
    End.UNAVAILABLE: Unavailable,
    End.UNKNOWN: Unknown,
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """The call has arrived and waits for its turn."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Something that the command says of itself while it runs."""

    value: Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: with a value, or with a text for people."""

    end: End
    value: Any = None
    text: str = ""
    hint: str | None = None

    def result(self) -> Any:
        """The value; raises Refused, Unavailable or Unknown."""
        if self.end is End.DONE:
            return self.value
        raise _ERRORS[self.end](self.text or f"the call ended as {self.end.value}", hint=self.hint)

    def to_bytes(self) -> bytes:
        """For keeping. Raises Invalid when the value cannot be encoded."""
        return cbor.encode([self.end.value, self.value, self.text[:_TEXT_SENT], self.hint])

    @classmethod
    def from_bytes(cls, data: bytes) -> Outcome:
        """The reverse. Raises Invalid."""
        kept = cbor.decode(data)
        if not isinstance(kept, list) or len(kept) != 4:
            raise Invalid("not a kept outcome")
        return cls(_end(kept[0]), kept[1], str(kept[2]), None if kept[3] is None else str(kept[3]))


Answer = Accepted | Progress | Outcome


def to_payload(answer: Answer) -> Payload:
    """An answer as it travels."""
    match answer:
        case Accepted():
            return answer_data("accepted")
        case Progress(value):
            return answer_data("progress", value)
        case Outcome(End.DONE, value):
            return answer_data("done", value)
        case Outcome(end, _, text, hint):
            return Error(end.value, text[:_TEXT_SENT], {"hint": hint[:_TEXT_SENT]} if hint else None)


def from_payload(payload: Payload) -> Answer:
    """What a peer answered.

    Raises Invalid; an error code that we do not know means that we do not know the end.
    """
    if isinstance(payload, Error):
        hint = payload.detail.get("hint") if isinstance(payload.detail, dict) else None
        known = {end.value: end for end in _ERRORS}
        end = known.get(payload.code, End.UNKNOWN)
        return Outcome(end, text=shown(payload.text), hint=shown(hint) if isinstance(hint, str) else None)
    if (
        not isinstance(payload, Data)
        or payload.schema != ANSWER_SCHEMA
        or not isinstance(payload.content, dict)
    ):
        raise Invalid("this is no answer to a call")
    value = payload.content.get("value")
    match payload.content.get("status"):
        case "accepted":
            return Accepted()
        case "progress":
            return Progress(value)
        case "done":
            return Outcome(End.DONE, value)
    raise Invalid("an answer of unknown status")


def of_error(error: KosError, doing: str) -> Outcome:
    """What an error of ours says about a call that had not begun."""
    for end, kind in _ERRORS.items():
        if isinstance(error, kind):
            return Outcome(end, text=error.message, hint=error.hint)
    if isinstance(error, Invalid):
        return Outcome(End.REFUSED, text=error.message, hint=error.hint)
    return Outcome(End.UNKNOWN, text=f"{doing}: {shown(error.message)}", hint=error.hint)


def of_break(error: BaseException, doing: str) -> Outcome:
    """What a call has come to when its command raised: its own refusal, or else nobody knows how far it
    got.
    """
    if isinstance(error, Refused | Invalid):
        return Outcome(End.REFUSED, text=error.message, hint=error.hint)
    text = shown(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    return Outcome(End.UNKNOWN, text=f"{doing} broke down: {text}", hint="it may have done part of its work")


def _end(word: object) -> End:
    try:
        return End(word)
    except ValueError:
        raise Invalid("not a kept outcome") from None
