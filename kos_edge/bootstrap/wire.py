"""The small parts that EDHOC messages are made of: identifiers, suites, EAD items, error messages.

RFC 9528 sections 3.3, 3.8, 5.2 and 6. Everything is read strictly: deterministic CBOR (section 3.1) and
exactly the types of the CDDL, so that no message has two spellings.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from kos_edge.errors import Invalid, Misuse
from kos_edge.klp import cbor

MAX_MESSAGE: Final = 2048
"""Bytes of one handshake payload: what an unauthenticated TCP connection may send at once (protocol.md 2)."""

PADDING: Final = 0
"""The EAD label of padding (RFC 9528 section 3.8.1)."""

UNSPECIFIED: Final = 1  # ERR_CODE, RFC 9528 section 6, table 3
WRONG_SUITE: Final = 2
UNKNOWN_CREDENTIAL: Final = 3

MAX_ERROR_TEXT: Final = 200
"""Characters of a peer's error text that we keep: it is unauthenticated and ends up in a log line."""


class WrongSuite(Invalid):
    """The selected suite cannot be used; `supported` is what the responder speaks (ERR_CODE 2)."""

    def __init__(self, supported: Iterable[int]) -> None:
        self.supported = tuple(supported)
        names = ", ".join(str(suite) for suite in self.supported)
        super().__init__(f"wrong selected cipher suite, supported: {names}")


class UnknownCredential(Invalid):
    """ID_CRED names a credential that cannot be resolved here (ERR_CODE 3)."""


class Ead(NamedTuple):
    """One item of external authorization data (RFC 9528 section 3.8); a negative label is critical."""

    label: int
    value: bytes | None = None

    @property
    def critical(self) -> bool:
        return self.label < 0


def read_sequence(data: bytes, what: str) -> list[object]:
    """The CBOR items of one message; Invalid when it is too long, empty, or not deterministic CBOR."""
    if len(data) > MAX_MESSAGE:
        raise Invalid(f"{what} is longer than {MAX_MESSAGE} bytes")
    return list(cbor.decode_sequence(data, limit=MAX_MESSAGE))


def is_int(value: object) -> bool:
    """A CBOR integer; `true` and `false` are none, whatever Python thinks."""
    return isinstance(value, int) and not isinstance(value, bool)


def write_identifier(identifier: bytes) -> int | bytes:
    """C_I or C_R as the CBOR value that stands for it (section 3.3.2).

    A byte that is itself the encoding of an integer from -24 to 23 travels as that integer.
    """
    if len(identifier) == 1:
        byte = identifier[0]
        if byte <= 0x17:
            return byte
        if 0x20 <= byte <= 0x37:
            return 0x1F - byte
    return identifier


def read_identifier(value: object, what: str) -> bytes:
    """The reverse; Invalid for a byte string that had to be an integer, or for another type."""
    if isinstance(value, bytes):
        if write_identifier(value) != value:
            raise Invalid(f"{what} is a byte string that must be written as an integer")
        return value
    if isinstance(value, int) and not isinstance(value, bool) and -24 <= value <= 23:
        return bytes([value if value >= 0 else 0x1F - value])
    raise Invalid(f"{what} is neither a byte string nor an integer from -24 to 23")


def write_suites(preferred: Sequence[int], selected: int) -> int | list[int]:
    """SUITES_I (section 5.2.1): the preferred suites up to the selected one, which stands last."""
    if selected not in preferred:
        raise Misuse(f"suite {selected} is not among the suites of this initiator")
    listed = list(preferred[: list(preferred).index(selected) + 1])
    return listed[0] if len(listed) == 1 else listed


def read_suites(value: object, what: str) -> tuple[int, ...]:
    """SUITES_I or SUITES_R: one integer, or an array of two or more."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if isinstance(value, list) and len(value) >= 2 and all(is_int(suite) for suite in value):
        return tuple(value)
    raise Invalid(f"{what} is neither an integer nor an array of at least two")


def write_ead(items: Iterable[tuple[int, bytes | None]]) -> bytes:
    """EAD_1 to EAD_4 as the CBOR sequence that they are; empty for no items."""
    parts = b""
    for label, value in items:
        parts += cbor.encode(label) if value is None else cbor.encode_sequence(label, value)
    return parts


def read_ead(values: Sequence[object], what: str) -> tuple[Ead, ...]:
    """The items in their order, padding among them; Invalid when they are no labels and byte strings."""
    items: list[Ead] = []
    rest = list(values)
    while rest:
        label = rest.pop(0)
        if not isinstance(label, int) or isinstance(label, bool):
            raise Invalid(f"{what} has something else where an EAD label belongs")
        value = rest.pop(0) if rest and isinstance(rest[0], bytes) else None
        items.append(Ead(label, value if isinstance(value, bytes) else None))
    return tuple(items)


def understand(items: Iterable[Ead], understood: Collection[int], what: str) -> tuple[Ead, ...]:
    """The items worth showing to the application: without padding, and nothing critical left unknown.

    `understood` holds labels without their sign. Raises Invalid for a critical item that is not among them,
    which must end the handshake (section 3.8).
    """
    for item in items:
        if item.critical and -item.label not in understood:
            raise Invalid(f"{what} has a critical EAD item {item.label} that is not understood here")
    return tuple(item for item in items if item.label != PADDING)


def padding(length: int) -> tuple[Ead, ...]:
    """Items of label 0 that make a message exactly `length` bytes longer; none for 0 or less."""
    if length <= 0:
        return ()
    if length == 1:
        return (Ead(PADDING),)
    for head in (2, 3, 4):  # one byte of label, one to three of the byte string's head
        item = Ead(PADDING, bytes(max(0, length - head)))
        if len(write_ead([item])) == length:
            return (item,)
    return (Ead(PADDING), *padding(length - 1))


@dataclass(frozen=True, slots=True)
class ErrorMessage:
    """An EDHOC error message (RFC 9528 section 6). It authenticates nobody: a hint, never a proof.

    `info` is a text for code 1, a tuple of suites for code 2, True for code 3, anything for codes we do not
    know.
    """

    code: int
    info: object

    def encode(self) -> bytes:
        info: object = self.info
        if isinstance(info, tuple):
            info = info[0] if len(info) == 1 else list(info)
        return cbor.encode_sequence(self.code, info)

    @classmethod
    def read(cls, data: bytes) -> ErrorMessage:
        """Invalid when it is not an error message."""
        return cls.of(read_sequence(data, "the error message"))

    @classmethod
    def of(cls, values: Sequence[object]) -> ErrorMessage:
        """From the items of the CBOR sequence."""
        if len(values) != 2:
            raise Invalid("an error message is a code and its information")
        code, info = values
        if not isinstance(code, int) or isinstance(code, bool):
            raise Invalid("an error message begins with its code")
        match code:
            case 1:
                if not isinstance(info, str):
                    raise Invalid("an error message of code 1 has a text")
                return cls(code, info[:MAX_ERROR_TEXT])
            case 2:
                return cls(code, read_suites(info, "SUITES_R"))
            case 3:
                if info is not True:
                    raise Invalid("an error message of code 3 says true")
        return cls(code, info)

    @classmethod
    def about(cls, error: Exception) -> ErrorMessage:
        """What to tell the other side of a failure: only texts of ours, never what was received."""
        if isinstance(error, WrongSuite):
            return cls(WRONG_SUITE, error.supported)
        if isinstance(error, UnknownCredential):
            return cls(UNKNOWN_CREDENTIAL, True)
        return cls(UNSPECIFIED, str(error)[:MAX_ERROR_TEXT])

    def __str__(self) -> str:
        match self.code:
            case 1:
                return ascii(self.info)[1:-1]
            case 2:
                suites = self.info if isinstance(self.info, tuple) else ()
                return str(WrongSuite(suites))
            case 3:
                return "unknown credential"
        return f"EDHOC error {self.code}"
