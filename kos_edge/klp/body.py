"""The seven kinds of payload as values, as maps on the wire, and as JSON for people."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar, Self

from kos_edge.errors import Invalid
from kos_edge.klp import cbor, jsonform, senml
from kos_edge.klp.claims import Act, Assertion, Evidence, EvidenceKind, Governance, Trust
from kos_edge.klp.fields import MAX_MS, MAX_TEXT, Fields, compact, required

__all__ = [
    "ANSWER_SCHEMA", "TYPES", "Act", "Assertion", "Backoff", "Config", "Data", "Error", "Evidence",
    "EvidenceKind", "Governance", "Intent", "Merge", "Payload", "Ping", "Retry", "Trust", "answer",
    "from_json", "from_wire", "reading", "to_json",
]  # fmt: skip

ANSWER_SCHEMA = "kos.answer"
"""The schema of data that answers an intent: {"status": "accepted" | "progress" | "done", "value": any}."""


@dataclass(frozen=True, slots=True)
class Data:
    """Something observed or made: a sensor reading, a document, the answer to an intent.

    `schema` says what `content` is: the number of a CoAP content format, or a name of one's own. `checksum`
    is the beginning of SHA-256 over the deterministic encoding of the content.
    """

    TYPE: ClassVar[int] = 2
    NAME: ClassVar[str] = "data"

    content: Any
    schema: int | str | None = None
    version: int | str | None = None
    checksum: bytes | None = None

    def value(self) -> Any:
        """The plain value: a scalar or a mapping of names to scalars for a reading, else the content."""
        return senml.plain(self.content) if self.schema == senml.CONTENT_FORMAT else self.content

    def units(self) -> str | dict[str, str | None] | None:
        """The unit of a reading, or the units by name; None if there are none."""
        return senml.units(self.content) if self.schema == senml.CONTENT_FORMAT else None

    def to_wire(self) -> dict[int, Any]:
        """The map on the wire."""
        return {2: self.content} | compact({1: self.schema, 3: self.version, 4: self.checksum})

    def is_reading(self) -> bool:
        """Whether this is SenML and nothing more is said of it."""
        return self.schema == senml.CONTENT_FORMAT and self.version is None and self.checksum is None

    @classmethod
    def from_wire(cls, wire: Any) -> Self:
        """The value of a map; Invalid unless it follows the grammar."""
        fields = Fields(wire, "data")
        schema, content, version = fields.number_or_name(1), fields.any(2), fields.number_or_name(3)
        checksum = fields.bytes(4, 4, 32)
        fields.done()
        if 2 not in fields.wire:
            raise Invalid("data without content")
        if checksum is not None and not hashlib.sha256(cbor.encode(content)).digest().startswith(checksum):
            raise Invalid("data whose checksum is not that of its content")
        return cls(content, schema, version, checksum)

    JSON: ClassVar[dict[int, tuple[str, jsonform.Form]]] = {
        1: ("schema", jsonform.PLAIN),
        2: ("content", jsonform.PLAIN),
        3: ("version", jsonform.PLAIN),
        4: ("checksum", jsonform.HEX),
    }


class Backoff(IntEnum):
    """How the delay between attempts grows."""

    LINEAR = 0
    EXPONENTIAL = 1


@dataclass(frozen=True, slots=True)
class Retry:
    """How often an intent is tried, and how long after one another: `delay_ms` is the first delay."""

    attempts: int
    backoff: Backoff = Backoff.EXPONENTIAL
    delay_ms: int = 1_000


@dataclass(frozen=True, slots=True)
class Intent:
    """Something to be done: an action by name, with parameters. Its answer is accepted, done or error."""

    TYPE: ClassVar[int] = 1
    NAME: ClassVar[str] = "intent"

    action: str
    params: Mapping[str, Any] = field(default_factory=dict)
    timeout_ms: int | None = None
    retry: Retry | None = None

    def to_wire(self) -> dict[int, Any]:
        """The map on the wire."""
        retry = self.retry and [self.retry.attempts, int(self.retry.backoff), self.retry.delay_ms]
        return compact({1: self.action, 2: dict(self.params) or None, 3: self.timeout_ms, 4: retry})

    @classmethod
    def from_wire(cls, wire: Any) -> Self:
        """The value of a map; Invalid unless it follows the grammar."""
        fields = Fields(wire, "an intent")
        action, params, timeout_ms = fields.name(1), fields.named(2), fields.uint(3, MAX_MS)
        retry = _retry(fields.any(4)) if 4 in fields.wire else None
        fields.done()
        return cls(action, params, timeout_ms, retry)

    JSON: ClassVar[dict[int, tuple[str, jsonform.Form]]] = {
        1: ("action", jsonform.PLAIN),
        2: ("params", jsonform.PLAIN),
        3: ("timeout_ms", jsonform.PLAIN),
        4: ("retry", jsonform.PLAIN),
    }


class Merge(IntEnum):
    """What becomes of a setting that is there already."""

    REPLACE = 0
    MERGE = 1
    APPEND = 2


@dataclass(frozen=True, slots=True)
class Config:
    """Settings for a target: what to change, how, and whether the target has to check them first."""

    TYPE: ClassVar[int] = 3
    NAME: ClassVar[str] = "config"

    target: str
    updates: Mapping[str, Any]
    strategy: Merge = Merge.MERGE
    validate: bool = True

    def to_wire(self) -> dict[int, Any]:
        """The map on the wire."""
        wire = {1: self.target, 2: dict(self.updates), 3: int(self.strategy)}
        return wire | compact({4: self.validate or None})

    @classmethod
    def from_wire(cls, wire: Any) -> Self:
        """The value of a map; Invalid unless it follows the grammar."""
        fields = Fields(wire, "configuration")
        target, updates, validate = fields.name(1), fields.named(2), fields.flag(4)
        strategy = required(fields.uint(3, 2), "configuration without a strategy")
        fields.done()
        if 2 not in fields.wire:
            raise Invalid("configuration without updates")
        return cls(target, updates, Merge(strategy), validate)

    JSON: ClassVar[dict[int, tuple[str, jsonform.Form]]] = {
        1: ("target", jsonform.PLAIN),
        2: ("updates", jsonform.PLAIN),
        3: ("strategy", jsonform.names(Merge)),
        4: ("validate", jsonform.PLAIN),
    }


@dataclass(frozen=True, slots=True)
class Ping:
    """A sign of life. With a nonce it asks for one back; with `answer` it is that answer."""

    TYPE: ClassVar[int] = 4
    NAME: ClassVar[str] = "ping"

    nonce: bytes | None = None
    answer: bool = False

    def to_wire(self) -> dict[int, Any]:
        """The map on the wire."""
        return compact({1: self.nonce, 2: self.answer or None})

    @classmethod
    def from_wire(cls, wire: Any) -> Self:
        """The value of a map; Invalid unless it follows the grammar."""
        fields = Fields(wire, "a ping")
        nonce, answers = fields.bytes(1, 1, 64), fields.flag(2)
        fields.done()
        return cls(nonce, answers)

    JSON: ClassVar[dict[int, tuple[str, jsonform.Form]]] = {
        1: ("nonce", jsonform.HEX),
        2: ("answer", jsonform.PLAIN),
    }


@dataclass(frozen=True, slots=True)
class Error:
    """What went wrong, as a code for programs and a text for people."""

    TYPE: ClassVar[int] = 5
    NAME: ClassVar[str] = "error"

    code: str
    text: str = ""
    detail: Any = None

    def to_wire(self) -> dict[int, Any]:
        """The map on the wire."""
        return {1: self.code, 2: self.text} | compact({3: self.detail})

    @classmethod
    def from_wire(cls, wire: Any) -> Self:
        """The value of a map; Invalid unless it follows the grammar."""
        fields = Fields(wire, "an error")
        code, text, detail = fields.name(1), fields.text(2, MAX_TEXT), fields.any(3)
        fields.done()
        return cls(code, required(text, "an error without a text"), detail)

    JSON: ClassVar[dict[int, tuple[str, jsonform.Form]]] = {
        1: ("code", jsonform.PLAIN),
        2: ("text", jsonform.PLAIN),
        3: ("detail", jsonform.PLAIN),
    }


Payload = Intent | Data | Config | Ping | Error | Trust | Governance

TYPES: dict[int, type[Payload]] = {
    kind.TYPE: kind for kind in (Intent, Data, Config, Ping, Error, Trust, Governance)
}
"""The kinds of payload by their number on the wire."""

_BY_NAME: dict[str, type[Payload]] = {kind.NAME: kind for kind in TYPES.values()}


def from_wire(type_number: int, wire: Any) -> Payload:
    """The payload of a type number and a map; Invalid unless both are known and right."""
    kind = TYPES.get(type_number)
    if kind is None:
        raise Invalid(f"messages of type {type_number} are not known here")
    return kind.from_wire(wire)


def reading(value: Any, unit: str | None = None, fields: Mapping[str, str | None] | None = None) -> Data:
    """A value as data: a scalar or a mapping of names to scalars as SenML, anything else as it is.

    `unit` is a word of the SenML registry such as `Cel`; `fields` gives the unit of each value of a mapping.
    """
    records = senml.records(value, unit, fields)
    return Data(value) if records is None else Data(records, senml.CONTENT_FORMAT)


def answer(status: str, value: Any = None) -> Data:
    """The answer to an intent: `status` is accepted, progress or done. A failure is an `Error` instead."""
    if status not in ("accepted", "progress", "done"):
        raise Invalid("an answer is accepted, progress or done")
    return Data({"status": status, "value": value}, ANSWER_SCHEMA)


def to_json(payload: Payload) -> dict[str, Any]:
    """The body as a JSON object with names for its parts; SenML records with the labels of SenML in JSON."""
    wire = payload.to_wire()
    if payload.NAME == Data.NAME and wire.get(1) == senml.CONTENT_FORMAT:
        wire[2] = senml.to_json(wire[2])
    return {name: form.out(wire[key]) for key, (name, form) in payload.JSON.items() if key in wire}


def from_json(type_name: str, body: Any) -> Payload:
    """The payload of a type's name (`data`, `intent`, …) and a body as `to_json` gives it."""
    kind = _BY_NAME.get(type_name) if isinstance(type_name, str) else None
    if kind is None:
        raise Invalid(f"{type_name!r} is not a type of message", hint=f"it is one of {', '.join(_BY_NAME)}")
    if not isinstance(body, dict):
        raise Invalid("the body of a message is an object")
    keys = {name: (key, form) for key, (name, form) in kind.JSON.items()}
    strange = body.keys() - keys.keys()
    if strange:
        hint = f"its parts are {', '.join(keys)}"
        raise Invalid(f"{kind.NAME} has no part {sorted(strange)[0]!r}", hint=hint)
    wire = {keys[name][0]: keys[name][1].back(part) for name, part in body.items()}
    if kind.NAME == Data.NAME and wire.get(1) == senml.CONTENT_FORMAT:
        wire[2] = senml.from_json(wire.get(2))
    return kind.from_wire(wire)


def _retry(wire: Any) -> Retry:
    if type(wire) is not list or len(wire) != 3 or any(type(part) is not int or part < 0 for part in wire):
        raise Invalid("a retry policy is attempts, back-off and delay")
    attempts, backoff, delay_ms = wire
    if not 1 <= attempts <= 255 or backoff > 1 or delay_ms > MAX_MS:
        raise Invalid("a retry policy outside of its limits")
    return Retry(attempts, Backoff(backoff), delay_ms)
