"""The token's text: what a person copies, scans or types to bring a device into a mesh.

    kos1-<Crockford base32 of: CBOR array, then the first 5 bytes of its SHA-256>

Case, white space and hyphens do not matter, nor does O for 0, or I or L for 1. In upper case it fits a QR
code's alphanumeric mode.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass, field

from kos_edge.errors import Invalid
from kos_edge.klp import cbor
from kos_edge.klp.identity import KID_BYTES
from kos_edge.mesh.claims import read_time

PREFIX = "kos1"
TOKEN_ID_BYTES = 8
SECRET_BYTES = 16
MAX_HINTS = 4
MAX_MESH_NAME = 32
MAX_TEXT = 1_024

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_DIGIT = {character: value for value, character in enumerate(_ALPHABET)} | {"o": 0, "i": 1, "l": 1}
_CHECKSUM = 5
_VERSION = 1
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})")


@dataclass(frozen=True, slots=True)
class Hint:
    """Where the hub was when it made the token: an IP address or a host name, and a port. Never trusted."""

    host: str
    port: int

    def __post_init__(self) -> None:
        packed = _packed(self.host)
        if packed is not None:
            object.__setattr__(self, "host", str(ipaddress.ip_address(packed)))
        elif not _HOST.fullmatch(self.host):
            raise Invalid(f"{self.host[:80]!r} is neither an address nor a host name")
        if not 1 <= self.port <= 65_535:
            raise Invalid(f"{self.port} is no port")


@dataclass(frozen=True, slots=True)
class Token:
    """An invitation as its guest holds it. `secret` is 128 random bits and stays out of `repr`."""

    mesh: bytes
    hub: bytes
    """The kid of the hub that redeems it."""
    token_id: bytes
    secret: bytes = field(repr=False)
    hints: tuple[Hint, ...] = ()
    mesh_name: str = ""
    """For people; nothing is decided by it."""
    expires_at: int | None = None
    """Seconds since 1970, where the hub knew the time: a guest can say "expired" with no hub in reach."""

    def __post_init__(self) -> None:
        lengths = (len(self.mesh), len(self.hub), len(self.token_id), len(self.secret))
        if lengths != (32, KID_BYTES, TOKEN_ID_BYTES, SECRET_BYTES):
            raise Invalid("a token has a mesh id of 32 bytes, a kid of 16, an id of 8 and a secret of 16")
        if len(self.hints) > MAX_HINTS:
            raise Invalid(f"a token has at most {MAX_HINTS} addresses")
        if len(self.mesh_name) > MAX_MESH_NAME or not self.mesh_name.isprintable():
            raise Invalid(f"the name of a mesh is at most {MAX_MESH_NAME} printable characters")
        if self.expires_at is not None:
            read_time(self.expires_at)

    @property
    def text(self) -> str:
        """The text form, in lower case."""
        body = self.body
        return f"{PREFIX}-{_base32(body + hashlib.sha256(body).digest()[:_CHECKSUM])}"

    @property
    def qr_text(self) -> str:
        """The text form in upper case: a QR code holds it in alphanumeric mode, a third smaller."""
        return self.text.upper()

    @classmethod
    def parse(cls, text: str) -> Token:
        """The token that was typed. Raises Invalid saying what is wrong with it."""
        letters = _letters(text)
        if not _whole(letters):
            raise _mistyped(_damage(letters))
        match cbor.decode(_from_base32(letters)[:-_CHECKSUM]):
            case [version, *_] if type(version) is not int or version != _VERSION:
                raise Invalid("the token is of a version that is not known here", hint="update kos-edge")
            case [
                _,
                bytes(mesh),
                bytes(hub),
                bytes(token_id),
                bytes(secret),
                list(hints),
                str(name),
                expires,
            ]:
                return cls(mesh, hub, token_id, secret, tuple(map(_read_hint, hints)), name, expires)
        raise Invalid("the token is whole and yet no token of ours")

    @property
    def body(self) -> bytes:
        """The token as CBOR, which the text spells with a checksum."""
        hints = [[_packed(hint.host) or hint.host, hint.port] for hint in self.hints]
        return cbor.encode(
            [
                _VERSION,
                self.mesh,
                self.hub,
                self.token_id,
                self.secret,
                hints,
                self.mesh_name,
                self.expires_at,
            ]
        )


def _read_hint(value: object) -> Hint:
    match value:
        case [bytes(packed), port] if len(packed) in (4, 16) and type(port) is int:
            return Hint(str(ipaddress.ip_address(packed)), port)
        case [str(host), port] if _packed(host) is None and type(port) is int:
            return Hint(host, port)
    raise Invalid("an address in the token is none")


def _packed(host: str) -> bytes | None:
    """The 4 or 16 bytes of an IP address, None for a name. A scope (fe80::1%eth0) means nothing elsewhere."""
    try:
        return None if "%" in host else ipaddress.ip_address(host).packed
    except ValueError:
        return None


def _letters(text: str) -> str:
    """What counts of a typed token: lower case, no white space, no hyphens, no prefix. Raises Invalid."""
    if len(text) > MAX_TEXT:
        raise _mistyped(f"it has {len(text)} characters, a token at most {MAX_TEXT}")
    letters = "".join(text.split()).replace("-", "").lower()
    if not letters.startswith(PREFIX):
        raise _mistyped(f"it does not begin with {PREFIX}-" if letters else "there is nothing")
    letters = letters[len(PREFIX) :]
    for position, letter in enumerate(letters, start=1):
        if letter not in _DIGIT:
            raise _mistyped(f"{letter!r}, character {position} after {PREFIX}-, does not occur in tokens")
    if len(letters) < _SHORTEST:
        raise _mistyped(
            f"it is cut short: {len(letters)} characters after {PREFIX}-, not {_SHORTEST} or more"
        )
    return "".join(_ALPHABET[_DIGIT[letter]] for letter in letters)


def _damage(letters: str) -> str:
    """What is wrong with letters whose checksum is: the one slip that repairs them, if there is one."""
    for position in range(len(letters)):
        before, here, after = letters[:position], letters[position], letters[position + 1 :]
        place = f"character {position + 1} after {PREFIX}-"
        if after and _whole(before + after[0] + here + after[1:]):
            return f"{place} and the next one have changed places"
        if _whole(before + after):
            return f"{place} is one too many"
        if any(_whole(before + letter + after) for letter in _ALPHABET if letter != here):
            return f"{place} is wrong"
        if any(_whole(before + letter + here + after) for letter in _ALPHABET):
            return f"before {place} one is missing"
    return "more than one character is wrong, or its end is missing"


def _whole(letters: str) -> bool:
    data = _from_base32(letters)
    return hashlib.sha256(data[:-_CHECKSUM]).digest()[:_CHECKSUM] == data[-_CHECKSUM:]


def _mistyped(what: str) -> Invalid:
    return Invalid(f"the token is mistyped: {what}", hint="copy it again, or scan its QR code")


def _base32(data: bytes) -> str:
    length = -(-len(data) * 8 // 5)
    number = int.from_bytes(data, "big") << (length * 5 - len(data) * 8)
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(length)))


def _from_base32(letters: str) -> bytes:
    """The bytes of letters of the alphabet; with bits left over that are not zero, no bytes at all."""
    number = int(letters.translate(_TO_PYTHON), 32)
    size, spare = divmod(len(letters) * 5, 8)
    if spare >= 5 or number & ((1 << spare) - 1):
        return b""
    return (number >> spare).to_bytes(size, "big")


_TO_PYTHON = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_SHORTEST = 140
"""Letters of a token with no address and no name."""
