"""EDHOC with signatures on both sides (RFC 9528, method 0): Initiator and Responder.

Each message is handled in three beats: *read* it, let the caller decide whom to trust, *verify* it:

    initiator                                      responder
    message_1()  ------------------------------>   read_message_1()
    read_message_2()  <-------------------------   message_2()
    (whose credential is it?)
    verify_message_2(cred, public)
    message_3()  ------------------------------>   read_message_3()
                                                   (whose credential is it?)
                                                   verify_message_3(cred, public)
    read_message_4()  <-------------------------   message_4()          when the application wants one

A call that the state does not allow raises Misuse and changes nothing. A message that breaks a rule raises
Invalid and ends this handshake (section 5.1: it must be discontinued); nothing outside this object changes.
Keys can be exported once the peer is verified. One object serves one handshake.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from kos_edge.bootstrap import message, wire
from kos_edge.bootstrap.credential import Credential
from kos_edge.bootstrap.message import EadItems, Hello, Proof
from kos_edge.bootstrap.schedule import OscoreKeys, Transcript
from kos_edge.bootstrap.suite import ECDH_LENGTH, METHOD_SIGNATURES, SUITES, Suite
from kos_edge.bootstrap.wire import Ead
from kos_edge.errors import Invalid, Misuse
from kos_edge.klp import cbor, identity


class State(Enum):
    """Where a handshake stands; the value completes "this handshake …"."""

    NEW = "has not begun"
    ASKED = "waits for message_2"
    ANSWER_READ = "has read message_2 and waits for a decision about its credential"
    ANSWER_VERIFIED = "has verified message_2"
    PROVEN = "has sent message_3"
    HELLO_READ = "has read message_1"
    ANSWERED = "waits for message_3"
    PROOF_READ = "has read message_3 and waits for a decision about its credential"
    PROOF_VERIFIED = "has verified message_3"
    COMPLETE = "is complete"
    FAILED = "has failed"


class _Party:
    """What both sides share: the state, the transcript, the exports."""

    def __init__(
        self,
        key: identity.KeyPair,
        credential: Credential,
        ephemeral: bytes | None,
        random: Callable[[int], bytes],
    ) -> None:
        self.state = State.NEW
        self.c_i = b""
        self.c_r = b""
        self._key = key
        self._credential = credential
        seed = random(ECDH_LENGTH) if ephemeral is None else ephemeral
        self._ephemeral = X25519PrivateKey.from_private_bytes(seed)
        self._transcript: Transcript | None = None
        self._message_1 = b""
        self._plaintext = b""
        self._proof = Proof(b"", b"", ())

    @property
    def transcript(self) -> Transcript:
        """The suite, the hashes and the keys so far; Misuse before there are any."""
        if self._transcript is None:
            raise Misuse(f"nothing is agreed yet: this handshake {self.state.value}")
        return self._transcript

    @property
    def th_3(self) -> bytes:
        """TH_3, to which an authorization in EAD_3 is bound; Misuse before message_2 is complete."""
        if not self.transcript.th_3:
            raise Misuse(f"TH_3 is not known yet: this handshake {self.state.value}")
        return self.transcript.th_3

    def export(self, label: int, context: bytes, length: int) -> bytes:
        """EDHOC_Exporter (section 4.2.1): `length` bytes for one purpose."""
        return self._exporting.export(label, context, length)

    def update(self, context: bytes) -> None:
        """EDHOC_KeyUpdate (appendix H); both sides do it with the same `context`."""
        self._exporting.update(context)

    @property
    def _exporting(self) -> Transcript:
        if self.state is State.FAILED or not self.transcript.prk_exporter:
            raise Misuse(f"no keys to export: this handshake {self.state.value}")
        return self.transcript

    @contextmanager
    def _step(self, before: State, after: State) -> Iterator[None]:
        if self.state is not before:
            raise Misuse(f"this is for a handshake that {before.value}; this handshake {self.state.value}")
        try:
            yield
        except Invalid:
            self.state = State.FAILED
            raise
        self.state = after

    def _exchange(self, public: bytes) -> bytes:
        """G_XY; Invalid for a point of low order, whose shared secret is all zero (RFC 7748 section 6.1)."""
        try:
            return self._ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise Invalid("the ephemeral key of the other side is of low order") from None


class Initiator(_Party):
    """The side that calls. `suites` in order of preference; `selected` is the one proposed, by default the
    first.

    `c_i` becomes our OSCORE recipient id and must be unique among our sessions. `ephemeral` is the X25519
    private key, only for reproducing a trace.
    """

    def __init__(
        self,
        key: identity.KeyPair,
        credential: Credential,
        *,
        c_i: bytes,
        suites: Sequence[int] = (4, 0),
        selected: int | None = None,
        ephemeral: bytes | None = None,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        _check_suites(suites)
        super().__init__(key, credential, ephemeral, random)
        self._suites = tuple(suites)
        self._suite = SUITES[suites[0] if selected is None else selected]
        if len(c_i) > self._suite.identifier_limit:
            raise Misuse(f"C_I is longer than {self._suite.identifier_limit} bytes")
        self.c_i = c_i

    def message_1(self, ead: EadItems = (), *, length: int = 0) -> bytes:
        """message_1, with EAD_1 in the clear, filled up to `length` bytes by padding (section 3.8.1)."""
        with self._step(State.NEW, State.ASKED):
            bare = cbor.encode_sequence(
                METHOD_SIGNATURES,
                wire.write_suites(self._suites, self._suite.number),
                self._ephemeral.public_key().public_bytes_raw(),
                wire.write_identifier(self.c_i),
            ) + wire.write_ead(ead)
            self._message_1 = bare + wire.write_ead(wire.padding(length - len(bare)))
        return self._message_1

    def read_message_2(self, data: bytes) -> bytes:
        """The ID_CRED, encoded, of who claims to answer. UnknownCredential when it is a reference."""
        with self._step(State.ASKED, State.ANSWER_READ):
            g_y, ciphertext = message.read_message_2(data)
            transcript = Transcript(self._suite)
            transcript.agree(self._message_1, g_y, self._exchange(g_y))
            self._plaintext = transcript.mask_2(ciphertext)
            self.c_r, self._proof = message.read_plaintext_2(self._plaintext)
            _check_identifier(self.c_r, self._suite)
            if self.c_r == self.c_i:
                raise Invalid("C_R equals C_I")  # RFC 9528 appendix A.1, RFC 9668 section 4.1.3
            self._transcript = transcript
        return self._proof.id_cred

    def verify_message_2(
        self, cred: bytes, public: bytes, understood: Collection[int] = ()
    ) -> tuple[Ead, ...]:
        """The responder proved to hold `public`, the key that the caller found in `cred` and trusts.

        `cred` is CRED_R as encoded. Returns EAD_2 without padding; Invalid for a critical item whose label
        is not in `understood`.
        """
        with self._step(State.ANSWER_READ, State.ANSWER_VERIFIED):
            proof, transcript = self._proof, self.transcript
            c_r = cbor.encode(wire.write_identifier(self.c_r))
            signed = transcript.signed_2(c_r, proof.id_cred, cred, wire.write_ead(proof.ead))
            identity.verify(public, proof.signature, signed)
            shown = wire.understand(proof.ead, understood, "message_2")
            transcript.close_2(self._plaintext, cred)
        return shown

    def message_3(self, ead: EadItems = ()) -> bytes:
        """message_3; from here on keys can be exported."""
        with self._step(State.ANSWER_VERIFIED, State.PROVEN):
            mine, transcript, ead_3 = self._credential, self.transcript, wire.write_ead(ead)
            signature = self._key.sign(transcript.signed_3(mine.id_cred, mine.cred, ead_3))
            plaintext = mine.id_cred + cbor.encode(signature) + ead_3
            encoded = cbor.encode(transcript.seal_3(plaintext))
            transcript.close_3(plaintext, mine.cred)
        return encoded

    def read_message_4(self, data: bytes, understood: Collection[int] = ()) -> tuple[Ead, ...]:
        """EAD_4 without padding: the responder has confirmed that it has the keys."""
        with self._step(State.PROVEN, State.COMPLETE):
            plaintext = self.transcript.open_4(message.read_string(data, "message_4"))
            return wire.understand(message.read_plaintext_4(plaintext), understood, "message_4")

    def oscore(self) -> OscoreKeys:
        """The OSCORE security context (appendix A.1): C_R is our sender id, C_I our recipient id."""
        return self._exporting.oscore(sender_id=self.c_r, recipient_id=self.c_i)


class Responder(_Party):
    """The side that is called. `suites`: those it speaks; the order of preference is the initiator's."""

    def __init__(
        self,
        key: identity.KeyPair,
        credential: Credential,
        *,
        suites: Sequence[int] = (0, 4),
        ephemeral: bytes | None = None,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        _check_suites(suites)
        super().__init__(key, credential, ephemeral, random)
        self._suites = tuple(suites)
        self._g_x = b""

    def read_message_1(self, data: bytes, understood: Collection[int] = ()) -> Hello:
        """What the caller proposes, EAD_1 without padding. WrongSuite when it must propose another suite."""
        with self._step(State.NEW, State.HELLO_READ):
            hello = message.read_hello(data, self._suites)
            suite = SUITES[hello.selected]
            _check_identifier(hello.c_i, suite)
            shown = wire.understand(hello.ead, understood, "message_1")
            self._message_1, self._g_x, self.c_i = data, hello.g_x, hello.c_i
            self._transcript = Transcript(suite)
        return Hello(hello.suites, hello.g_x, hello.c_i, shown)

    def message_2(self, c_r: bytes, ead: EadItems = ()) -> bytes:
        """message_2. `c_r` becomes our OSCORE recipient id: unique among our sessions, and not C_I.

        Invalid when the G_X of message_1 is of low order.
        """
        if self.state is State.HELLO_READ and (
            c_r == self.c_i or len(c_r) > self.transcript.suite.identifier_limit
        ):
            raise Misuse("C_R must differ from C_I and fit an OSCORE recipient id")
        with self._step(State.HELLO_READ, State.ANSWERED):
            mine, transcript, ead_2 = self._credential, self.transcript, wire.write_ead(ead)
            g_y = self._ephemeral.public_key().public_bytes_raw()
            transcript.agree(self._message_1, g_y, self._exchange(self._g_x))
            identifier = cbor.encode(wire.write_identifier(c_r))
            signature = self._key.sign(transcript.signed_2(identifier, mine.id_cred, mine.cred, ead_2))
            plaintext = identifier + mine.id_cred + cbor.encode(signature) + ead_2
            encoded = cbor.encode(g_y + transcript.mask_2(plaintext))
            transcript.close_2(plaintext, mine.cred)
            self.c_r = c_r
        return encoded

    def read_message_3(self, data: bytes) -> bytes:
        """The ID_CRED, encoded, of who claims to have called. UnknownCredential when it is a reference."""
        with self._step(State.ANSWERED, State.PROOF_READ):
            self._plaintext = self.transcript.open_3(message.read_string(data, "message_3"))
            self._proof = message.read_plaintext_3(self._plaintext)
        return self._proof.id_cred

    def verify_message_3(
        self, cred: bytes, public: bytes, understood: Collection[int] = ()
    ) -> tuple[Ead, ...]:
        """The initiator proved to hold `public`, as in `Initiator`. Keys can be exported now."""
        with self._step(State.PROOF_READ, State.PROOF_VERIFIED):
            proof, transcript = self._proof, self.transcript
            signed = transcript.signed_3(proof.id_cred, cred, wire.write_ead(proof.ead))
            identity.verify(public, proof.signature, signed)
            shown = wire.understand(proof.ead, understood, "message_3")
            transcript.close_3(self._plaintext, cred)
        return shown

    def message_4(self, ead: EadItems = ()) -> bytes:
        """message_4: key confirmation, with EAD_4 encrypted."""
        with self._step(State.PROOF_VERIFIED, State.COMPLETE):
            return cbor.encode(self.transcript.seal_4(wire.write_ead(ead)))

    def oscore(self) -> OscoreKeys:
        """The OSCORE security context (appendix A.1): C_I is our sender id, C_R our recipient id."""
        return self._exporting.oscore(sender_id=self.c_i, recipient_id=self.c_r)


def _check_suites(suites: Sequence[int]) -> None:
    if not suites or any(number not in SUITES for number in suites):
        raise Misuse(f"the suites spoken here are {sorted(SUITES)}, not {list(suites)}")


def _check_identifier(identifier: bytes, suite: Suite) -> None:
    if len(identifier) > suite.identifier_limit:
        raise Invalid(f"a connection identifier is longer than {suite.identifier_limit} bytes")
