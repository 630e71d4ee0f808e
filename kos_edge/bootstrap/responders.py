"""The handshakes of those who call us: a bounded table that gives a stranger as little as possible.

A stranger gets no state before it has sent a sound message_1, no answer larger than three times its
request, and above half of the table's room nothing at all but an Echo value (RFC 9175) before it has shown
that its address is its own. What fails is answered by an EDHOC error message and forgotten; nothing outside
that handshake changes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from kos_edge.bootstrap import credential as credentials
from kos_edge.bootstrap import wire
from kos_edge.bootstrap.carriage import (
    BAD_REQUEST,
    CHANGED,
    MESSAGE_1_PREFIX,
    REFUSED_PREFIX,
    SERVICE_UNAVAILABLE,
    UNAUTHORIZED,
    Binding,
    Established,
    Reply,
    Trust,
    check_not_self,
    choose_identifier,
    split,
)
from kos_edge.bootstrap.credential import Credential, Kind, Presented
from kos_edge.bootstrap.echo import Echo
from kos_edge.bootstrap.edhoc import Responder
from kos_edge.bootstrap.message import EadItems, message_2_length, read_hello
from kos_edge.bootstrap.schedule import digest
from kos_edge.bootstrap.wire import Ead, ErrorMessage
from kos_edge.errors import Invalid, KosError, Refused, Unavailable
from kos_edge.klp import cbor, identity

MAX_PENDING: Final = 256
"""Handshakes that wait for message_3, 0.5 MB (measured): more than a hub of 1,000 nodes has at once. Beyond it the
one that has waited longest gives way: an honest one takes two round trips, and whoever fills the table waits on."""

MAX_PENDING_PER_HOST: Final = 8
"""Of these from one host, so that one machine alone cannot fill the table."""

ECHO_ABOVE: Final = MAX_PENDING // 2
"""From here on addresses are proved first: forged ones fill one half, the other stays for the honest."""

ECHO_ABOVE_PER_HOST: Final = MAX_PENDING_PER_HOST // 2
"""The same for one host: forging its address does not lock it out."""

PENDING_LIFETIME: Final = 10.0
"""Seconds that message_3 may take: two losses, at CoAP's first timeouts of 3 s and 6 s (RFC 7252, 4.8)."""

AMPLIFICATION: Final = 3
"""An unproven address gets at most this many times the bytes that it sent (RFC 9175 section 2.6)."""


class Address(Hashable, Protocol):
    """Where a request came from. `str()` tells any two apart; `origin` is what a machine cannot easily vary."""

    @property
    def origin(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Proven:
    """An initiator that has shown to hold its key, and what it asks for: what a decision hook decides about.

    `peer` comes from the trust hook. `combined`: there will be no message_4, thus no EAD_4.
    """

    address: Address
    presented: Presented
    peer: object
    ead: tuple[Ead, ...]
    binding: Binding
    combined: bool

    @property
    def kid(self) -> bytes:
        return identity.kid_of(self.presented.public)


@dataclass(frozen=True, slots=True)
class Decision:
    """Yes. `peer` is whose session it becomes, if there is to be one; `ead_4` is said in message_4."""

    peer: object
    ead_4: tuple[tuple[int, bytes | None], ...] = ()
    session: bool = True


Decide = Callable[[Proven], Decision]
"""Raises Refused (never) or Unavailable (later); their text goes to the other side in the clear."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: the reply to send, and a session to open.

    For a combined request that is good there is no reply: `rest` is the OSCORE payload to go on with, under
    the new session, or, when `established` is None, under the one that this handshake gave before.
    `reachable`: the address is the asker's own, so that the reply may have any length.
    """

    reply: Reply | None
    established: Established | None = None
    rest: bytes = field(default=b"", repr=False)
    reachable: bool = False


@dataclass(slots=True)
class _Pending:
    address: Address
    digest_1: bytes
    reply_2: Reply
    expires: float
    responder: Responder | None
    combined: bool = False
    digest_3: bytes = b""
    last: Reply | None = None


class Responders:
    """All handshakes that others began with us. `credential` may be set anew at any time.

    `is_taken` tells which recipient ids our sessions and our own handshakes hold; `holds` is the same of
    this table. `understood` are the labels of EAD_3 that `decide` acts upon. Times are monotonic seconds.
    """

    def __init__(
        self,
        key: identity.KeyPair,
        credential: Credential,
        *,
        trust: Trust,
        decide: Decide,
        is_taken: Callable[[bytes], bool],
        understood: Collection[int] = (),
        suites: Sequence[int] = (0, 4),
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.credential = credential
        self._key = key
        self._trust = trust
        self._decide = decide
        self._is_taken = is_taken
        self._understood = frozenset(understood)
        self._suites = tuple(suites)
        self._random = random
        self._echo = Echo(random(32))
        self._table: dict[bytes, _Pending] = {}
        self.counters: Counter[str] = Counter()
        """What was asked of strangers or taken from them: `echo`, `crowded out`, `failed`."""

    @property
    def waiting(self) -> int:
        """How many handshakes wait for message_3."""
        return sum(pending.responder is not None for pending in self._table.values())

    def forget(self, identifier: bytes) -> None:
        """Drop a handshake, also one whose answer is kept: what it led to could not be made to last."""
        self._table.pop(identifier, None)

    def holds(self, identifier: bytes) -> bool:
        """Whether a handshake here has this C_R."""
        return identifier in self._table

    def timer(self) -> float | None:
        """When `handle_timer` has something to do."""
        return min((pending.expires for pending in self._table.values()), default=None)

    def handle_timer(self, now: float) -> None:
        """Forget what has taken too long."""
        for c_r in [c_r for c_r, pending in self._table.items() if pending.expires <= now]:
            del self._table[c_r]

    def receive(
        self,
        address: Address,
        payload: bytes,
        now: float,
        *,
        echo: bytes | None = None,
        reachable: bool = False,
    ) -> Outcome:
        """A POST to `/.well-known/edhoc`. `reachable`: the carrier has proved the address, as TCP does."""
        self.handle_timer(now)
        reachable = reachable or (echo is not None and self._echo.accepts(echo, address, now))
        try:
            if payload.startswith(MESSAGE_1_PREFIX):
                reply = self._receive_1(address, payload[len(MESSAGE_1_PREFIX) :], now, reachable)
                return Outcome(reply, reachable=reachable)
            c_r, values = _after_identifier(payload)
            if len(values) == 1 and isinstance(values[0], bytes):
                outcome = self._receive_3(address, c_r, cbor.byte_string(values[0]), combined=False)
                # What verifies answers message_2, which went to that address and nowhere else.
                good = outcome.reply is not None and outcome.reply.code == CHANGED
                return replace(outcome, reachable=reachable or good)
            ErrorMessage.of(values)
            self._of(address, c_r)
            del self._table[c_r]
            return Outcome(Reply(CHANGED))
        except (Invalid, Refused, Unavailable) as error:
            self.counters["failed"] += 1
            room = None if reachable else AMPLIFICATION * len(payload)
            return Outcome(_complaint(error, room=room), reachable=reachable)

    def combined(self, address: Address, kid: bytes, payload: bytes, now: float) -> Outcome:
        """A protected request with the EDHOC option (RFC 9668); `kid`, of its OSCORE option, is our C_R."""
        self.handle_timer(now)
        try:
            message_3, rest = split(payload)
            outcome = self._receive_3(address, kid, message_3, combined=True)
        except (Invalid, Refused, Unavailable) as error:
            return Outcome(_complaint(error, room=AMPLIFICATION * len(payload)))
        return outcome if outcome.reply else Outcome(None, outcome.established, rest)

    def _receive_1(self, address: Address, message_1: bytes, now: float, reachable: bool) -> Reply:
        digest_1 = digest(message_1)
        room = AMPLIFICATION * (len(MESSAGE_1_PREFIX) + len(message_1))
        for pending in self._table.values():
            if pending.digest_1 == digest_1 and pending.address == address:
                if not reachable and len(pending.reply_2.payload) > room:
                    return self._ask_for_echo(address, now)
                return pending.reply_2  # the request was repeated, or the datagram duplicated
        hello = read_hello(message_1, self._suites)
        c_r = self._free_identifier(hello.c_i)
        if not reachable and (self._is_crowded(address) or message_2_length(self.credential, c_r) > room):
            return self._ask_for_echo(address, now)
        self._make_room(address, reachable)
        responder = Responder(self._key, self.credential, suites=self._suites, random=self._random)
        responder.read_message_1(message_1)
        reply = Reply(CHANGED, responder.message_2(c_r))
        self._table[c_r] = _Pending(address, digest_1, reply, now + PENDING_LIFETIME, responder)
        return reply

    def _receive_3(self, address: Address, c_r: bytes, message_3: bytes, *, combined: bool) -> Outcome:
        pending = self._of(address, c_r)
        digest_3 = digest(message_3)
        if pending.responder is None:
            if (pending.digest_3, pending.combined) != (digest_3, combined):
                raise Invalid("this handshake is over")
            return Outcome(pending.last)  # an answer that was lost is asked for again
        responder, pending.responder = pending.responder, None
        pending.digest_3, pending.combined = digest_3, combined
        pending.last = Reply(BAD_REQUEST)  # should a hook break, this handshake does not go on either
        try:
            established, ead_4 = self._decide_3(address, responder, message_3, combined)
        except (Invalid, Refused, Unavailable) as error:
            self.counters["failed"] += 1
            pending.last = _complaint(error)
            return Outcome(pending.last)
        pending.last = None if combined else Reply(CHANGED, responder.message_4(ead_4))
        return Outcome(pending.last, established)

    def _decide_3(
        self, address: Address, responder: Responder, message_3: bytes, combined: bool
    ) -> tuple[Established | None, EadItems]:
        presented = credentials.read(responder.read_message_3(message_3))
        check_not_self(presented, self._key.public)
        if combined and presented.kind is not Kind.KCWT:
            raise Invalid("only a member combines message_3 with a request; a newcomer waits for message_4")
        identified = self._trust(presented)
        ead_3 = responder.verify_message_3(presented.cred, identified.public, self._understood)
        binding = Binding(responder.th_3, presented.id_cred, presented.cred)
        decision = self._decide(Proven(address, presented, identified.peer, ead_3, binding, combined))
        if combined and (decision.ead_4 or not decision.session):
            raise Refused("this needs message_3 on its own")
        if not decision.session:
            return None, decision.ead_4
        suite = responder.transcript.suite.number
        return Established(responder.oscore(), decision.peer, presented, ead_3, suite), decision.ead_4

    def _of(self, address: Address, c_r: bytes) -> _Pending:
        """Only the address that began a handshake can go on with it, or end it."""
        pending = self._table.get(c_r)
        if pending is None or pending.address != address:
            raise Invalid("no handshake of yours has this C_R")
        return pending

    def _ask_for_echo(self, address: Address, now: float) -> Reply:
        self.counters["echo"] += 1
        return Reply(UNAUTHORIZED, echo=self._echo.value(address, now))

    def _is_crowded(self, address: Address) -> bool:
        """Whether half of the room is taken, in all or by this host: addresses are proved from here on."""
        waiting, of_host = self._count(address)
        return waiting >= ECHO_ABOVE or of_host >= ECHO_ABOVE_PER_HOST

    def _make_room(self, address: Address, reachable: bool) -> None:
        waiting, of_host = self._count(address)
        if of_host >= MAX_PENDING_PER_HOST:
            self._give_up_oldest(address, reachable)
        elif waiting >= MAX_PENDING:  # where nobody comes this far without having proved the address
            self._give_way(next(iter(self._table)))
        if len(self._table) >= MAX_PENDING:
            oldest = next(c_r for c_r, pending in self._table.items() if pending.responder is None)
            del self._table[oldest]

    def _give_up_oldest(self, address: Address, reachable: bool) -> None:
        """Whoever has proved its address may begin anew at the cost of what it left unfinished."""
        for c_r, pending in self._table.items():
            if reachable and pending.responder is not None and pending.address == address:
                self._give_way(c_r)
                return
        raise Unavailable("too many handshakes under way from this host")

    def _give_way(self, c_r: bytes) -> None:
        self.counters["crowded out"] += 1
        del self._table[c_r]

    def _count(self, address: Address) -> tuple[int, int]:
        """Handshakes that wait for message_3: all, and those of this host."""
        hosts = [pending.address.origin for pending in self._table.values() if pending.responder is not None]
        return len(hosts), hosts.count(address.origin)

    def _free_identifier(self, c_i: bytes) -> bytes:
        return choose_identifier(lambda it: it in self._table or self._is_taken(it), self._random, c_i)


def _after_identifier(payload: bytes) -> tuple[bytes, list[object]]:
    values = wire.read_sequence(payload, "the request")
    if len(values) < 2:
        raise Invalid("a request is true and message_1, or C_R and message_3 or an error message")
    return wire.read_identifier(values[0], "C_R"), values[1:]


def _complaint(error: KosError, room: int | None = None) -> Reply:
    """The error message, cut to nothing when even that would be more than `room` bytes."""
    if isinstance(error, Refused):
        message = ErrorMessage(wire.UNSPECIFIED, f"{REFUSED_PREFIX}{error.message}"[: wire.MAX_ERROR_TEXT])
    else:
        message = ErrorMessage.about(error)
    payload = message.encode()
    if room is not None and len(payload) > room:
        payload = ErrorMessage(wire.UNSPECIFIED, "").encode() if room >= 2 else b""
    return Reply(SERVICE_UNAVAILABLE if isinstance(error, Unavailable) else BAD_REQUEST, payload)
