"""The handshake as CoAP carries it (RFC 9528 appendix A.2, RFC 9668): the values that both sides share.

Requests are POSTs to `/.well-known/edhoc`: CBOR `true` and message_1, or C_R and message_3, or C_R and an
error message. Answers are message_2 and message_4 alone, or an error message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from kos_edge.bootstrap.credential import Presented
from kos_edge.bootstrap.schedule import OscoreKeys
from kos_edge.bootstrap.wire import Ead
from kos_edge.errors import Invalid, Unavailable
from kos_edge.klp import cbor, identity

PATH: Final = (".well-known", "edhoc")
CONTENT_EDHOC: Final = 64  # application/edhoc+cbor-seq: what a responder answers
CONTENT_CID_EDHOC: Final = 65  # application/cid-edhoc+cbor-seq: what an initiator posts
OPTION_EDHOC: Final = 21  # RFC 9668 section 3.1
OPTION_ECHO: Final = 252  # RFC 9175 section 2.2

MESSAGE_1_PREFIX: Final = b"\xf5"  # CBOR true, where other requests have a C_R

CHANGED: Final = 0x44  # CoAP codes: 2.04, 4.00, 4.01, 5.03
BAD_REQUEST: Final = 0x80
UNAUTHORIZED: Final = 0x81
SERVICE_UNAVAILABLE: Final = 0xA3

REFUSED_PREFIX: Final = "refused: "
"""What the text of an error message begins with when it was a decision and no failure."""


@dataclass(frozen=True, slots=True)
class Post:
    """A POST to `PATH`; `echo`, when there is one, goes into the Echo option."""

    payload: bytes
    echo: bytes | None = None
    content_format: int = CONTENT_CID_EDHOC


@dataclass(frozen=True, slots=True)
class Reply:
    """What a responder answers: a CoAP code, a payload, an Echo option."""

    code: int
    payload: bytes = b""
    echo: bytes | None = None

    @property
    def content_format(self) -> int | None:
        """None when there is no payload."""
        return CONTENT_EDHOC if self.payload else None


@dataclass(frozen=True, slots=True)
class Identified:
    """Whom a trust hook recognised: the raw Ed25519 key to verify with, and what it calls that peer."""

    public: bytes
    peer: object


Trust = Callable[[Presented], Identified]
"""Decides about a credential before its signature is checked. Raises Refused, Invalid, UnknownCredential."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What an authorization in EAD_3 is bound to: this handshake and this credential of the initiator."""

    th_3: bytes
    id_cred: bytes
    cred: bytes


@dataclass(frozen=True, slots=True)
class Established:
    """A handshake that succeeded. `peer` is what a hook made of the other side, `ead` what came in EAD_4 or
    EAD_3.

    With a `message_3` it has yet to be sent, in front of the first protected request; the peer has then
    confirmed nothing before its protected answer verifies.
    """

    keys: OscoreKeys
    peer: object
    presented: Presented
    ead: tuple[Ead, ...]
    suite: int
    message_3: bytes | None = field(default=None, repr=False)

    @property
    def kid(self) -> bytes:
        """The peer's kid: the name of the key that it proved to hold."""
        return identity.kid_of(self.presented.public)


def combine(message_3: bytes, oscore_payload: bytes) -> bytes:
    """The payload of an EDHOC + OSCORE request (RFC 9668 section 3.2.1); the request has option 21, empty."""
    return message_3 + oscore_payload


def split(payload: bytes) -> tuple[bytes, bytes]:
    """message_3 and the OSCORE payload of a combined request; Invalid when it is none (section 3.3.1)."""
    first = payload[0] if payload else 0
    size = {24: 1, 25: 2}.get(first & 31, 0)
    length = int.from_bytes(payload[1 : 1 + size]) if size else first & 31
    head = cbor.head(2, length)
    end = len(head) + length
    if payload[: len(head)] != head or end >= len(payload):
        raise Invalid("a combined request is message_3 followed by an OSCORE payload")
    return payload[:end], payload[end:]


def choose_identifier(
    is_taken: Callable[[bytes], bool], random: Callable[[int], bytes], other: bytes | None = None
) -> bytes:
    """A recipient id that is free and not `other`: one byte that CBOR writes as an integer, else two or
    three.

    Raises Unavailable when none is found, which takes more sessions than a node can hold.
    """
    start = random(1)[0]
    for at in range(len(_SHORT)):
        candidate = _SHORT[(start + at) % len(_SHORT)]
        if candidate != other and not is_taken(candidate):
            return candidate
    for length in (2, 3):
        for _ in range(_TRIES):
            candidate = random(length)
            if candidate != other and not is_taken(candidate):
                return candidate
    raise Unavailable("no free connection identifier")


def check_not_self(presented: Presented, public: bytes) -> None:
    """Invalid when the other side shows our own key: a message of ours was sent back to us."""
    if presented.public == public:
        raise Invalid("the other side shows our own key: a message of ours came back")


def keeps_own(own_kid: bytes, peer_kid: bytes) -> bool:
    """Of two simultaneous handshakes between two nodes that of the lower kid survives: is it the one we
    began?

    Invalid for two equal kids: a node does not talk to itself.
    """
    if own_kid == peer_kid:
        raise Invalid("both ends of a handshake have the same kid")
    return own_kid < peer_kid


_SHORT: Final = tuple(bytes([byte]) for byte in (*range(0x00, 0x18), *range(0x20, 0x38)))
_TRIES: Final = 64  # with 1,000 sessions, all 64 hit a taken id of two random bytes once in 10^116
