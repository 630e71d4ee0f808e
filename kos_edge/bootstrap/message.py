"""The messages of EDHOC as they are on the wire (RFC 9528 section 5), read without a key or a state."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from kos_edge.bootstrap import wire
from kos_edge.bootstrap.credential import Credential
from kos_edge.bootstrap.suite import ECDH_LENGTH, METHOD_SIGNATURES, SIGNATURE_LENGTH
from kos_edge.bootstrap.wire import Ead
from kos_edge.errors import Invalid
from kos_edge.klp import cbor

EadItems = Iterable[tuple[int, bytes | None]]

_KID: Final = 4  # COSE header parameter, RFC 9052 section 3.1


@dataclass(frozen=True, slots=True)
class Hello:
    """message_1 as read: what a stranger says. Nothing of it is authenticated yet."""

    suites: tuple[int, ...]
    g_x: bytes
    c_i: bytes
    ead: tuple[Ead, ...]

    @property
    def selected(self) -> int:
        """The suite that this message_1 is made for: the last one."""
        return self.suites[-1]


@dataclass(frozen=True, slots=True)
class Proof:
    """What PLAINTEXT_2 and PLAINTEXT_3 have in common; `id_cred` is encoded."""

    id_cred: bytes
    signature: bytes
    ead: tuple[Ead, ...]


def read_hello(data: bytes, spoken: Collection[int]) -> Hello:
    """message_1 for a responder that speaks the suites `spoken`; nothing is computed.

    Raises WrongSuite when the selected suite is not spoken, or another one is that the initiator prefers
    (section 5.2.3): so nobody in between can talk the two down to a lesser suite.
    """
    values = wire.read_sequence(data, "message_1")
    if len(values) < 4:
        raise Invalid("message_1 has fewer than four items")
    method, suites_i, g_x, c_i, *ead = values
    if not wire.is_int(method) or method != METHOD_SIGNATURES:
        raise Invalid("message_1 asks for a method other than 0")
    suites = wire.read_suites(suites_i, "SUITES_I")
    if not isinstance(g_x, bytes):
        raise Invalid("G_X is not a byte string")
    identifier = wire.read_identifier(c_i, "C_I")
    items = wire.read_ead(ead, "message_1")
    if suites[-1] not in spoken or any(number in spoken for number in suites[:-1]):
        raise wire.WrongSuite(sorted(spoken))
    if len(g_x) != ECDH_LENGTH:
        raise Invalid(f"G_X is not {ECDH_LENGTH} bytes long")
    return Hello(suites, g_x, identifier, items)


def read_message_2(data: bytes) -> tuple[bytes, bytes]:
    """G_Y and CIPHERTEXT_2."""
    joined = read_string(data, "message_2")
    if len(joined) <= ECDH_LENGTH:
        raise Invalid("message_2 is too short for G_Y and CIPHERTEXT_2")
    return joined[:ECDH_LENGTH], joined[ECDH_LENGTH:]


def read_plaintext_2(plaintext: bytes) -> tuple[bytes, Proof]:
    """C_R, and who claims to answer."""
    values = wire.read_sequence(plaintext, "PLAINTEXT_2")
    if not values:
        raise Invalid("PLAINTEXT_2 is empty")
    return wire.read_identifier(values[0], "C_R"), _read_proof(values[1:], "PLAINTEXT_2")


def read_plaintext_3(plaintext: bytes) -> Proof:
    """Who claims to have called."""
    return _read_proof(wire.read_sequence(plaintext, "PLAINTEXT_3"), "PLAINTEXT_3")


def read_plaintext_4(plaintext: bytes) -> tuple[Ead, ...]:
    """EAD_4, which is all there is."""
    return wire.read_ead(wire.read_sequence(plaintext, "PLAINTEXT_4"), "PLAINTEXT_4")


def read_string(data: bytes, what: str) -> bytes:
    """The one byte string that message_2, message_3 or message_4 is."""
    values = wire.read_sequence(data, what)
    if len(values) != 1 or not isinstance(values[0], bytes):
        raise Invalid(f"{what} is not one byte string")
    return values[0]


def message_2_length(credential: Credential, c_r: bytes, ead: EadItems = ()) -> int:
    """Bytes of the message_2 that would show `credential`: known before anything is computed."""
    plaintext = len(cbor.encode(wire.write_identifier(c_r))) + len(credential.id_cred)
    plaintext += len(cbor.encode(bytes(SIGNATURE_LENGTH))) + len(wire.write_ead(ead))
    return len(cbor.encode(bytes(ECDH_LENGTH + plaintext)))


def _read_proof(values: Sequence[object], what: str) -> Proof:
    if len(values) < 2:
        raise Invalid(f"{what} lacks ID_CRED or a signature")
    id_cred, signature, *ead = values
    if isinstance(id_cred, bytes) or wire.is_int(id_cred):
        wire.read_identifier(id_cred, "the kid in ID_CRED")
        raise wire.UnknownCredential(f"{what} names its credential by kid; credentials go by value here")
    if not isinstance(id_cred, dict) or not id_cred:
        raise Invalid(f"{what} has no ID_CRED")
    if list(id_cred) == [_KID]:
        raise Invalid(f"{what} has a kid in a map; alone it is written without (RFC 9528 section 3.5.3.2)")
    if not isinstance(signature, bytes) or len(signature) != SIGNATURE_LENGTH:
        raise Invalid(f"{what} has no signature of {SIGNATURE_LENGTH} bytes")
    return Proof(cbor.encode(id_cred), signature, wire.read_ead(ead, what))
