"""The handshake: what a stranger may send to `/.well-known/edhoc`, and what may come back from there."""

from __future__ import annotations

import random
from dataclasses import dataclass

from kos_edge.bootstrap import carriage, message, wire
from kos_edge.bootstrap import credential as credentials
from kos_edge.bootstrap.carriage import Established, Identified, Post
from kos_edge.bootstrap.credential import Presented
from kos_edge.bootstrap.responders import AMPLIFICATION, Decision, Responders
from kos_edge.bootstrap.session import InitiatorHandshake
from kos_edge.errors import Invalid, KosError
from kos_edge.klp import cbor
from kos_edge.klp.identity import KeyPair

KEY, OTHER = KeyPair.from_seed(bytes(32)), KeyPair.from_seed(bytes([1]) * 32)


@dataclass(frozen=True, slots=True)
class Place:
    origin: str


def trust(presented: Presented) -> Identified:
    return Identified(presented.public, None)


def responders() -> Responders:
    return Responders(
        KEY,
        credentials.kccs(KEY.public),
        trust=trust,
        decide=lambda proven: Decision(None),
        is_taken=lambda _: False,
        random=random.Random(7).randbytes,
    )


def initiator() -> InitiatorHandshake:
    return InitiatorHandshake(
        OTHER,
        credentials.kccs(OTHER.public),
        trust=trust,
        is_taken=lambda _: False,
        now=0.0,
        random=random.Random(8).randbytes,
    )


def _requests() -> tuple[bytes, ...]:
    one, other = initiator(), responders()
    first = one.start()
    reply = other.receive(Place("a"), first.payload, 0.0).reply
    assert reply is not None
    second = one.receive(reply.code, reply.payload, 0.0)
    assert isinstance(second, Post)
    return first.payload, reply.payload, second.payload


SEEDS = _requests()


def fuzz_edhoc_request(data: bytes) -> None:
    """A stranger's request is answered with at most three times its bytes, and opens a session for nobody."""
    other = responders()
    waiting = other.receive(Place("b"), SEEDS[0], 0.0).reply
    outcome = other.receive(Place("a"), data, 0.0)
    assert outcome.established is None
    assert outcome.reply is not None
    assert len(outcome.reply.payload) <= AMPLIFICATION * len(data)
    assert other.waiting <= 2
    assert other.receive(Place("b"), SEEDS[0], 0.0).reply == waiting


def fuzz_edhoc_second_request(data: bytes) -> None:
    """In a handshake that waits for message_3, only message_3 itself opens a session."""
    other = responders()
    other.receive(Place("a"), SEEDS[0], 0.0)
    outcome = other.receive(Place("a"), data, 0.0)
    assert outcome.reply is not None
    assert (outcome.established is not None) == (data == SEEDS[2])


def fuzz_edhoc_combined(data: bytes) -> None:
    """A combined request of a stranger opens nothing, whatever is in it."""
    other = responders()
    other.receive(Place("a"), SEEDS[0], 0.0)
    c_r = wire.read_identifier(cbor.decode_sequence(SEEDS[2])[0], "C_R")
    outcome = other.combined(Place("a"), c_r, data, 0.0)
    assert outcome.established is None
    assert outcome.reply is not None


def fuzz_edhoc_answer(data: bytes) -> None:
    """An answer moves a handshake on only if it is the responder's; anything else ends it."""
    one = initiator()
    one.start()
    try:
        step = one.receive(carriage.CHANGED, data, 0.0)
    except KosError as error:
        raise Invalid(str(error)) from error
    assert not isinstance(step, Established)
    again = step.payload.startswith(carriage.MESSAGE_1_PREFIX)
    assert again or data == SEEDS[1]


def fuzz_edhoc_plaintexts(data: bytes) -> None:
    """What decrypts is still read strictly: an accepted plaintext is put together again to the same bytes."""
    c_r, proof = message.read_plaintext_2(data)
    parts = cbor.encode(wire.write_identifier(c_r)) + proof.id_cred + cbor.encode(proof.signature)
    assert parts + wire.write_ead(proof.ead) == data


def fuzz_edhoc_credential(data: bytes) -> None:
    """A credential that is accepted stands in its ID_CRED as it was received and has one key."""
    shown = credentials.read(data)
    assert data.endswith(shown.cred)
    assert len(shown.public) == 32


def fuzz_edhoc_error(data: bytes) -> None:
    """An error message that is accepted can be shown in one line, and says the same when sent again."""
    error = wire.ErrorMessage.read(data)
    assert str(error).isprintable()
    assert wire.ErrorMessage.read(error.encode()) == error
