"""The initiator's side of a handshake over CoAP.

No I/O: whoever owns the wire sends a `Post` and hands the answer back.

    handshake = InitiatorHandshake(key, credential, trust=…, is_taken=…, now=…)
    step = handshake.start()
    while isinstance(step, Post):
        code, payload, echo = …send step, wait for its answer…
        step = handshake.receive(code, payload, now, echo=echo)
    step                                   # Established

Explicit: message_3 is its own request and message_4 its answer; three round trips with what follows.
Combined: the `Established` comes with a `message_3` that travels in front of the first protected request
(`combine`); two.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import Final

from kos_edge.bootstrap import credential as credentials
from kos_edge.bootstrap import wire
from kos_edge.bootstrap.carriage import (
    CHANGED,
    MESSAGE_1_PREFIX,
    REFUSED_PREFIX,
    UNAUTHORIZED,
    Binding,
    Established,
    Identified,
    Post,
    Trust,
    check_not_self,
    choose_identifier,
)
from kos_edge.bootstrap.credential import Credential, Presented
from kos_edge.bootstrap.edhoc import Initiator
from kos_edge.bootstrap.message import EadItems
from kos_edge.bootstrap.wire import Ead, ErrorMessage
from kos_edge.errors import Invalid, KosError, Misuse, Refused, Unavailable
from kos_edge.klp import cbor, identity

INITIATOR_LIFETIME: Final = 20.0
"""Seconds from message_1 to the end: what a responder waits for message_3, once for each of our requests."""

MESSAGE_1_LENGTH: Final = 256
"""Bytes of the first payload, filled up by padding in EAD_1 (label 0).

A responder answers a stranger with at most three times what it got, so this pays for a message_2 of 768
bytes: a membership with its issuer's and the authority's key takes about 570. Any link that carries IPv6
carries it whole.
"""

MAX_ECHOES: Final = 2
"""How often one request is repeated with an Echo value: once, and again if the value had grown old."""


class Finish(Enum):
    """How message_3 travels."""

    EXPLICIT = "its own request, answered by message_4"
    COMBINED = "in front of the first protected request (RFC 9668)"


class _Phase(Enum):
    NEW = "has not begun"
    WAIT_2 = "waits for message_2"
    WAIT_4 = "waits for message_4"
    COMBINING = "has given message_3 away"
    OVER = "is over"


class InitiatorHandshake:
    """One handshake that we begin; reconnecting is another object.

    `trust` says who a credential is; `kid` and `expect` say whom we wanted, and are asked before message_3
    shows who we are: another one is Refused as "found another device at that address". `ead_3` makes the
    items of EAD_3 once TH_3 is known; `understood` are the labels of EAD_4 that the caller acts upon.
    `is_taken` tells which recipient ids our sessions and handshakes hold; from now on `c_i` is one of them.
    Times are monotonic seconds.

    After an error, `farewell` is None or a Post that has the responder forget us; its answer means nothing.
    """

    def __init__(
        self,
        key: identity.KeyPair,
        credential: Credential,
        *,
        trust: Trust,
        is_taken: Callable[[bytes], bool],
        now: float,
        kid: bytes | None = None,
        expect: Callable[[Identified], bool] | None = None,
        finish: Finish = Finish.EXPLICIT,
        ead_3: Callable[[Binding], EadItems] | None = None,
        understood: Collection[int] = (),
        suites: Sequence[int] = (4, 0),
        message_1_length: int = MESSAGE_1_LENGTH,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.deadline = now + INITIATOR_LIFETIME
        self.c_i = choose_identifier(is_taken, random)
        self.farewell: Post | None = None
        self._key = key
        self._credential = credential
        self._trust = trust
        self._kid = kid
        self._expect = expect
        self._finish = finish
        self._ead_3 = ead_3
        self._understood = frozenset(understood)
        self._suites = tuple(suites)
        self._tried = [self._suites[0]]
        self._message_1_length = message_1_length
        self._random = random
        self._echoes = 0
        self._phase = _Phase.NEW
        self._edhoc = self._propose(self._suites[0])
        self._last = Post(b"")
        self._identified = Identified(b"", None)
        self._presented: Presented | None = None

    def start(self) -> Post:
        """The first request."""
        if self._phase is not _Phase.NEW:
            raise Misuse(f"this handshake {self._phase.value}")
        self._phase = _Phase.WAIT_2
        return self._ask()

    def receive(
        self, code: int, payload: bytes, now: float, *, echo: bytes | None = None
    ) -> Post | Established:
        """The next request, or the end. Any error ends the handshake.

        Raises Invalid for what breaks a rule, Refused when either side does not want the other, Unavailable
        when another try may help. An error message is nobody's proof: treat its Refused as a hint, with a
        pause.
        """
        if self._phase in (_Phase.NEW, _Phase.OVER):
            raise Misuse(f"this handshake {self._phase.value}")
        phase, self._phase = self._phase, _Phase.OVER
        try:
            self._phase, step = self._advance(phase, code, payload, now, echo)
        except (Invalid, Refused, Unavailable) as error:
            self.farewell = self._say_farewell(error)
            raise
        return step

    def _advance(
        self, phase: _Phase, code: int, payload: bytes, now: float, echo: bytes | None
    ) -> tuple[_Phase, Post | Established]:
        if now > self.deadline:
            raise Unavailable("the handshake took too long")
        if code == UNAUTHORIZED and echo is not None and phase is not _Phase.COMBINING:
            return phase, self._repeat(echo)
        error = _error_in(payload)
        if error is not None:
            if phase is _Phase.WAIT_2 and error.code == wire.WRONG_SUITE:
                return phase, self._ask_again(error)
            raise _told(error, phase)
        if code != CHANGED:
            raise Unavailable(f"the other side answered {code >> 5}.{code & 31:02d} to the handshake")
        match phase:
            case _Phase.WAIT_2:
                return self._answer_2(payload)
            case _Phase.WAIT_4:
                ead_4 = self._edhoc.read_message_4(payload, self._understood)
                return _Phase.OVER, self._established(ead_4)
        raise Invalid("an unprotected success cannot answer a protected request")

    def _propose(self, selected: int) -> Initiator:
        return Initiator(
            self._key,
            self._credential,
            c_i=self.c_i,
            suites=self._suites,
            selected=selected,
            random=self._random,
        )

    def _ask(self) -> Post:
        message_1 = self._edhoc.message_1(length=self._message_1_length - len(MESSAGE_1_PREFIX))
        self._last = Post(MESSAGE_1_PREFIX + message_1)
        return self._last

    def _repeat(self, echo: bytes) -> Post:
        self._echoes += 1
        if self._echoes > MAX_ECHOES:
            raise Unavailable("the other side keeps asking for proof of our address")
        return Post(self._last.payload, echo)

    def _ask_again(self, error: ErrorMessage) -> Post:
        """With the suite that we like best of those the responder says it speaks (RFC 9528 section 6.3)."""
        spoken = error.info if isinstance(error.info, tuple) else ()
        common = [number for number in self._suites if number in spoken]
        if not common:
            raise Refused(f"no cipher suite in common: the other side speaks {', '.join(map(str, spoken))}")
        if common[0] in self._tried:
            raise Invalid("the other side refuses a cipher suite that it says it speaks")
        self._tried.append(common[0])
        self._edhoc = self._propose(common[0])
        return self._ask()

    def _answer_2(self, payload: bytes) -> tuple[_Phase, Post | Established]:
        edhoc = self._edhoc
        presented = credentials.read(edhoc.read_message_2(payload))
        check_not_self(presented, self._key.public)
        identified = self._trust(presented)
        edhoc.verify_message_2(presented.cred, identified.public)
        self._check_wanted(identified)
        self._presented, self._identified = presented, identified
        mine = self._credential
        ead_3 = self._ead_3(Binding(edhoc.th_3, mine.id_cred, mine.cred)) if self._ead_3 else ()
        message_3 = edhoc.message_3(ead_3)
        if self._finish is Finish.COMBINED:
            return _Phase.COMBINING, self._established((), message_3)
        self._last = Post(cbor.encode(wire.write_identifier(edhoc.c_r)) + message_3)
        self._echoes = 0
        return _Phase.WAIT_4, self._last

    def _check_wanted(self, identified: Identified) -> None:
        found = identity.kid_of(identified.public)
        wrong_kid = self._kid is not None and found != self._kid
        if wrong_kid or (self._expect is not None and not self._expect(identified)):
            wanted = f", not {identity.kid_text(self._kid)}" if wrong_kid and self._kid else ""
            raise Refused(
                f"found another device at that address: {identity.kid_text(found)}{wanted}",
                hint="check the address, or whether the device was replaced",
            )

    def _established(self, ead: tuple[Ead, ...], message_3: bytes | None = None) -> Established:
        if self._presented is None:
            raise Misuse("nobody has been verified in this handshake")
        return Established(
            self._edhoc.oscore(),
            self._identified.peer,
            self._presented,
            ead,
            self._edhoc.transcript.suite.number,
            message_3,
        )

    def _say_farewell(self, error: KosError) -> Post | None:
        c_r = self._edhoc.c_r
        if not c_r or isinstance(error, Unavailable):
            return None
        told = ErrorMessage.about(error) if isinstance(error, Invalid) else ErrorMessage(1, "not trusted")
        return Post(cbor.encode(wire.write_identifier(c_r)) + told.encode())


def _error_in(payload: bytes) -> ErrorMessage | None:
    """The EDHOC error message in a response: it begins with an integer, as no other message does."""
    try:
        values = wire.read_sequence(payload, "the answer")
    except Invalid:
        return None
    return ErrorMessage.of(values) if values and wire.is_int(values[0]) else None


def _told(error: ErrorMessage, phase: _Phase) -> KosError:
    text = str(error)
    if phase is not _Phase.WAIT_2 and text.startswith(REFUSED_PREFIX):
        return Refused(text[len(REFUSED_PREFIX) :])
    return Unavailable(f"the other side ended the handshake: {text}")
