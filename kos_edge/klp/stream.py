"""Streams and positions: what is numbered, for whom, and how a message gets its name.

A stream is (source, audience, class, epoch). A message is named by its position in one: no id is carried.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.klp import identity

MAX_SEQ = 2**63 - 1
MAX_EPOCH = 2**63 - 1


class Priority(IntEnum):
    """How urgent; the numbers are those of the wire."""

    LOW = 0
    NORMAL = 1
    HIGH = 2
    CRITICAL = 3


@dataclass(frozen=True, slots=True)
class Class:
    """How messages of a stream are treated: how urgent, lasting or volatile, in order or fresh first."""

    priority: Priority = Priority.NORMAL
    durable: bool = True
    fresh: bool = False

    @property
    def code(self) -> int:
        """The class on the wire: priority | durable << 2 | fresh << 3."""
        return int(self.priority) | self.durable << 2 | self.fresh << 3

    @classmethod
    def from_code(cls, code: int) -> Class:
        """The class of a wire code; Invalid if it is not 0 to 15."""
        if type(code) is not int or not 0 <= code <= 15:
            raise Invalid("a class is a number from 0 to 15")
        return _CLASSES[code]


_CLASSES = tuple(Class(Priority(code & 3), bool(code & 4), bool(code & 8)) for code in range(16))

AUDIENCES = {"hub": 0, "edge": 1, "relay": 2, "operator": 3, "all": 255}
"""Audiences that are a role, by their number on the wire. Others are `group:<name>` and `kid:<32 hex>`."""

_ROLES = {number: name for name, number in AUDIENCES.items()}
_GROUP = re.compile(r"[A-Za-z0-9_-]{1,64}")
_AUDIENCE_KID = re.compile(r"kid:[0-9a-f]{32}")


def check_audience(text: str) -> None:
    """Invalid unless `text` names an audience."""
    audience_to_wire(text)


def audience_to_wire(text: str) -> int | str | bytes:
    """An audience as on the wire: a role is a number, a group its name, a kid its 16 bytes."""
    role = AUDIENCES.get(text)
    if role is not None:
        return role
    if text.startswith("group:") and _GROUP.fullmatch(text, 6):
        return text[6:]
    if _AUDIENCE_KID.fullmatch(text):
        return bytes.fromhex(text[4:])
    raise Invalid("not an audience", hint="it is hub, edge, relay, operator, all, group:NAME or kid:32HEX")


def audience_from_wire(value: Any) -> str:
    """The text form of an audience on the wire."""
    if type(value) is int and value in _ROLES:
        return _ROLES[value]
    if type(value) is str and _GROUP.fullmatch(value):
        return f"group:{value}"
    if type(value) is bytes and len(value) == identity.KID_BYTES:
        return f"kid:{value.hex()}"
    raise Invalid("an audience is the number of a role, the name of a group or a kid of 16 bytes")


@dataclass(frozen=True, slots=True)
class Stream:
    """One numbering of messages: by whom, for whom, how treated, and since which start of the source."""

    source: bytes
    audience: str
    cls: Class
    epoch: int

    def __post_init__(self) -> None:
        if len(self.source) != identity.KID_BYTES:
            raise Invalid("the source of a stream is a kid of 16 bytes")
        if not 1 <= self.epoch <= MAX_EPOCH:
            raise Invalid("an epoch is a number from 1 to 2^63 - 1")
        check_audience(self.audience)

    def __hash__(self) -> int:
        """Without the class, which costs more to hash than all else: a stream is looked up several times a pack."""
        return hash((self.source, self.audience, self.epoch))


def stream_from_wire(source: bytes, audience: Any, code: Any, epoch: int) -> Stream:
    """The stream of four parts on the wire; Invalid unless audience and class are such, and all in their range."""
    if type(audience) in (int, str, bytes) and type(code) is int:
        return _stream(source, audience, code, epoch)
    return Stream(source, audience_from_wire(audience), Class.from_code(code), epoch)


@lru_cache(maxsize=256)
def _stream(source: bytes, audience: int | str | bytes, code: int, epoch: int) -> Stream:
    """The same for parts that can be looked up: pack after pack is of one stream."""
    return Stream(source, audience_from_wire(audience), Class.from_code(code), epoch)


@dataclass(frozen=True, slots=True)
class Position:
    """The place of one message; its text is the message id."""

    stream: Stream
    seq: int

    def __post_init__(self) -> None:
        if not 1 <= self.seq <= MAX_SEQ:
            raise Invalid("a sequence number is from 1 to 2^63 - 1")

    def __str__(self) -> str:
        stream = self.stream
        return f"{stream.source.hex()}.{stream.audience}.{stream.cls.code}.{stream.epoch:016x}.{self.seq}"

    def texts(self, count: int) -> list[str]:
        """The message ids of this place and of those that follow it, so many together."""
        stem = str(self).rpartition(".")[0]
        return [f"{stem}.{seq}" for seq in range(self.seq, self.seq + count)]

    @classmethod
    def parse(cls, text: str) -> Position:
        """The position that a message id names; Invalid for anything but the one text that `str` gives."""
        match = _ID.fullmatch(text)
        if match is None:
            raise Invalid("not a message id", hint="it is KID.AUDIENCE.CLASS.EPOCH.SEQ, as tail prints it")
        stream = Stream(bytes.fromhex(match[1]), match[2], Class.from_code(int(match[3])), int(match[4], 16))
        return cls(stream, int(match[5]))


_ID = re.compile(
    r"([0-9a-f]{32})\.([a-z]{1,16}|group:[A-Za-z0-9_-]{1,64}|kid:[0-9a-f]{32})"
    r"\.(0|[1-9]|1[0-5])\.([0-9a-f]{16})\.([1-9][0-9]{0,18})",
    re.ASCII,
)
