"""Two nodes that meet: their keys, what they show of themselves, and whom they trust."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from kos_edge.bootstrap import credential as credentials
from kos_edge.bootstrap.carriage import Identified
from kos_edge.bootstrap.credential import Credential, Presented
from kos_edge.bootstrap.edhoc import Initiator, Responder
from kos_edge.bootstrap.responders import Decision, Responders
from kos_edge.bootstrap.session import InitiatorHandshake
from kos_edge.errors import Refused
from kos_edge.klp import cbor, cose
from kos_edge.klp.identity import KeyPair

MESH = bytes(range(32))


@dataclass(frozen=True, slots=True)
class Place:
    """An address on no network at all."""

    host: str
    port: int = 5683

    @property
    def origin(self) -> str:
        return self.host

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def chance(seed: int) -> Callable[[int], bytes]:
    """Randomness that is the same every time."""
    return random.Random(seed).randbytes


def key(seed: int) -> KeyPair:
    return KeyPair.from_seed(bytes([seed]) * 32)


def member(who: KeyPair, issuer: KeyPair | None = None) -> Credential:
    """A membership as large as a real one: with its issuer's inside."""
    claims = {1: "kid:device:00", 2: "a-name", 6: 1_800_000_000, 8: {1: credentials.cose_key(who.public)}}
    chain: dict[int | str, object] = {13: cbor.decode(member(issuer).cred)} if issuer else {}
    signed = cose.sign1(
        cbor.encode(claims), cose.Typ.MEMBERSHIP, issuer or who, external_aad=MESH, unprotected=chain
    )
    return credentials.kcwt(signed)


def trust_all(presented: Presented) -> Identified:
    return Identified(presented.public, presented.public.hex()[:8])


def trust_none(presented: Presented) -> Identified:
    raise Refused("not one of us")


ALICE = key(1)
BOB = key(2)
ISSUER = key(3)


def initiator(**changes: object) -> Initiator:
    options: dict = {"c_i": b"\x01", "random": chance(1)}
    return Initiator(ALICE, member(ALICE), **(options | changes))


def responder(**changes: object) -> Responder:
    options: dict = {"random": chance(2)}
    return Responder(BOB, member(BOB), **(options | changes))


def handshake(**changes: object) -> InitiatorHandshake:
    """Alice, who calls."""
    options: dict = {"trust": trust_all, "is_taken": lambda _: False, "now": 0.0, "random": chance(1)}
    return InitiatorHandshake(ALICE, member(ALICE, ISSUER), **(options | changes))


def called(**changes: object) -> Responders:
    """Bob, who is called and likes everybody."""
    options: dict = {
        "trust": trust_all,
        "decide": lambda proven: Decision(proven.peer),
        "is_taken": lambda _: False,
        "random": chance(2),
    }
    return Responders(BOB, member(BOB, ISSUER), **(options | changes))


def meet(one: Initiator, other: Responder) -> tuple[bytes, bytes, bytes, bytes]:
    """A whole handshake; its four messages."""
    first = one.message_1()
    other.read_message_1(first)
    second = other.message_2(b"\x02")
    shown = credentials.read(one.read_message_2(second))
    one.verify_message_2(shown.cred, shown.public)
    third = one.message_3()
    shown = credentials.read(other.read_message_3(third))
    other.verify_message_3(shown.cred, shown.public)
    fourth = other.message_4()
    one.read_message_4(fourth)
    return first, second, third, fourth
