"""What a stranger gets from a node that it calls: as little as possible."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.bootstrap import carriage
from kos_edge.bootstrap import credential as credentials
from kos_edge.bootstrap.carriage import Established, Identified, Post, Reply
from kos_edge.bootstrap.credential import Presented
from kos_edge.bootstrap.echo import ECHO_PERIOD, Echo
from kos_edge.bootstrap.edhoc import Initiator
from kos_edge.bootstrap.responders import (
    ECHO_ABOVE,
    ECHO_ABOVE_PER_HOST,
    MAX_PENDING,
    MAX_PENDING_PER_HOST,
    PENDING_LIFETIME,
    Decision,
    Responders,
)
from kos_edge.bootstrap.session import InitiatorHandshake
from kos_edge.bootstrap.wire import ErrorMessage
from kos_edge.errors import Invalid
from kos_edge.klp import cbor
from tests.bootstrap.people import ALICE, BOB, ISSUER, Place, called, chance, handshake, member, trust_all

HERE = Place("here")


def ask(seed: int, length: int = 255) -> bytes:
    """A sound first request that nobody will go on with."""
    one = Initiator(ALICE, member(ALICE), c_i=b"\x01", random=chance(seed))
    return carriage.MESSAGE_1_PREFIX + one.message_1(length=length)


FLOOD = [ask(seed) for seed in range(20)]
ASKED = {(seed, length): ask(seed, length) for seed in range(41) for length in (0, 255)}


def reply_to(other: Responders, place: Place, payload: bytes, now: float = 0.0, **more: object) -> Reply:
    reply = other.receive(place, payload, now, **more).reply  # type: ignore[arg-type]
    assert reply is not None
    return reply


def test_an_answer_larger_than_three_times_the_request_costs_an_echo_and_no_state() -> None:
    other = called()
    small = ask(1, length=0)
    reply = reply_to(other, HERE, small)
    assert (reply.code, reply.payload) == (carriage.UNAUTHORIZED, b"")
    assert reply.echo is not None
    assert other.waiting == 0
    reply = reply_to(other, HERE, small, echo=reply.echo)
    assert reply.code == carriage.CHANGED
    assert len(reply.payload) > 3 * len(small)


def test_an_initiator_that_does_not_pad_gets_through_with_one_more_round() -> None:
    one, other = handshake(message_1_length=0), called()
    step: Post | Established = one.start()
    rounds = 0
    while isinstance(step, Post):
        reply = reply_to(other, HERE, step.payload, echo=step.echo)
        step = one.receive(reply.code, reply.payload, 0.0, echo=reply.echo)
        rounds += 1
    assert rounds == 3


def test_a_repeated_request_gets_its_large_answer_only_with_the_echo_value_again() -> None:
    other, small = called(), ask(1, length=0)
    echo = reply_to(other, HERE, small).echo
    first = reply_to(other, HERE, small, echo=echo)
    assert reply_to(other, HERE, small).code == carriage.UNAUTHORIZED
    assert reply_to(other, HERE, small, echo=echo) == first
    assert other.waiting == 1


def test_a_carrier_that_has_proved_the_address_needs_no_echo() -> None:
    assert reply_to(called(), HERE, ask(1, length=0), reachable=True).code == carriage.CHANGED


def test_above_half_of_the_room_everybody_shows_the_address_first() -> None:
    other = called()
    for number in range(ECHO_ABOVE):
        assert reply_to(other, Place(f"host-{number}"), ask(number)).code == carriage.CHANGED
    reply = reply_to(other, Place("late"), ask(1_000))
    assert (reply.code, other.waiting) == (carriage.UNAUTHORIZED, ECHO_ABOVE)
    assert reply_to(other, Place("late"), ask(1_000), echo=reply.echo).code == carriage.CHANGED


def test_a_flood_from_forged_addresses_leaves_room_for_the_honest() -> None:
    other = called()
    for number in range(2_000):
        reply_to(other, Place(f"host-{number}"), FLOOD[number % len(FLOOD)])
    assert other.waiting == ECHO_ABOVE
    one = handshake()
    step: Post | Established = one.start()
    rounds = 0
    while isinstance(step, Post):
        reply = reply_to(other, HERE, step.payload, echo=step.echo)
        step = one.receive(reply.code, reply.payload, 0.0, echo=reply.echo)
        rounds += 1
    assert rounds == 3


def test_the_table_never_grows_beyond_its_room_and_the_oldest_gives_way() -> None:
    other = called()
    one = handshake()
    for number in range(MAX_PENDING + 50):
        reply = reply_to(other, Place(f"host-{number}"), ask(number), reachable=True)
        assert reply.code == carriage.CHANGED
        assert other.waiting <= MAX_PENDING
    assert other.counters["crowded out"] == 50
    step: Post | Established = one.start()
    while isinstance(step, Post):
        reply = reply_to(other, HERE, step.payload, echo=step.echo)
        step = one.receive(reply.code, reply.payload, 0.0, echo=reply.echo)
    assert other.waiting <= MAX_PENDING


def test_one_host_alone_takes_a_small_share_and_half_of_it_without_proof() -> None:
    other = called()
    for number in range(ECHO_ABOVE_PER_HOST):
        assert reply_to(other, Place("one", number), ask(number)).code == carriage.CHANGED
    assert reply_to(other, Place("one", 99), ask(99)).code == carriage.UNAUTHORIZED
    for number in range(ECHO_ABOVE_PER_HOST, MAX_PENDING_PER_HOST):
        assert reply_to(other, Place("one", number), ask(number), reachable=True).code == carriage.CHANGED
    assert reply_to(other, Place("one", 99), ask(99), reachable=True).code == carriage.SERVICE_UNAVAILABLE
    assert reply_to(other, Place("two"), ask(100)).code == carriage.CHANGED


def test_who_begins_anew_from_a_proven_address_gives_up_what_it_left_unfinished() -> None:
    other = called()
    for number in range(MAX_PENDING_PER_HOST + 5):
        assert reply_to(other, HERE, ask(number), reachable=True).code == carriage.CHANGED
    assert other.waiting == MAX_PENDING_PER_HOST


def test_finished_handshakes_make_way_for_new_ones() -> None:
    other = called()
    for number in range(MAX_PENDING):
        place = Place(f"host-{number}")
        one = handshake(random=chance(number))
        post = one.start()
        reply = reply_to(other, place, post.payload, reachable=True)
        step = one.receive(reply.code, reply.payload, 0.0)
        assert isinstance(step, Post)
        assert other.receive(place, step.payload, 0.0, reachable=True).established
    assert other.waiting == 0
    assert reply_to(other, Place("next"), ask(5_000)).code == carriage.CHANGED


def test_what_takes_too_long_is_forgotten() -> None:
    other = called()
    assert other.timer() is None
    one = handshake()
    reply = reply_to(other, HERE, one.start().payload, 100.0)
    step = one.receive(reply.code, reply.payload, 0.0)
    assert isinstance(step, Post)
    assert other.timer() == 100.0 + PENDING_LIFETIME
    other.handle_timer(100.0 + PENDING_LIFETIME)
    assert (other.waiting, other.timer()) == (0, None)
    late = reply_to(other, HERE, step.payload, 100.0 + PENDING_LIFETIME)
    assert late.code == carriage.BAD_REQUEST


def test_a_first_request_that_comes_twice_gets_the_same_answer() -> None:
    other = called()
    first, second = reply_to(other, HERE, ask(1)), reply_to(other, HERE, ask(1))
    assert first == second
    assert other.waiting == 1
    assert reply_to(other, Place("elsewhere"), ask(1)) != first


def test_only_the_address_that_began_can_go_on_or_end() -> None:
    one, other = handshake(), called()
    reply = reply_to(other, HERE, one.start().payload)
    step = one.receive(reply.code, reply.payload, 0.0)
    assert isinstance(step, Post)
    thief = other.receive(Place("elsewhere"), step.payload, 0.0)
    assert thief.established is None
    ending = step.payload[:1] + ErrorMessage(1, "stop").encode()
    assert reply_to(other, Place("elsewhere"), ending).code == carriage.BAD_REQUEST
    assert other.receive(HERE, step.payload, 0.0).established is not None


def test_identifiers_are_unique_over_handshakes_and_sessions() -> None:
    live = {bytes([byte]) for byte in range(0x18)}
    other = called(is_taken=live.__contains__)
    for number in range(100):
        reply_to(other, Place(f"host-{number}"), ask(number))
    held = [identifier for identifier in map(bytes, ([n] for n in range(256))) if other.holds(identifier)]
    assert len(held) == 24
    assert not live & set(held)
    assert b"\x01" not in held  # the C_I of them all


def test_every_flipped_bit_is_rejected_and_touches_no_other_handshake() -> None:
    seen: list[object] = []

    def decide(proven: object) -> Decision:
        seen.append(proven)
        return Decision(None)

    other = called(decide=decide)
    bystander = handshake(random=chance(77))
    reply = reply_to(other, Place("bystander"), bystander.start().payload)
    theirs = bystander.receive(reply.code, reply.payload, 0.0)
    assert isinstance(theirs, Post)

    bits = 8 * len(second_request(other, 0))
    for bit in range(bits):
        damaged = bytearray(second_request(other, bit))
        damaged[bit // 8] ^= 1 << bit % 8
        before = other.waiting
        assert other.receive(HERE, bytes(damaged), 0.0, reachable=True).established is None
        assert before - other.waiting in (0, 1)  # at most the handshake that it belongs to has gone
    assert bits > 1_000
    assert seen == []
    assert other.receive(Place("bystander"), theirs.payload, 0.0).established is not None


def second_request(other: Responders, seed: int) -> bytes:
    """What carries message_3 in a handshake that waits for nothing else."""
    one = InitiatorHandshake(
        ALICE,
        credentials.kccs(ALICE.public),
        trust=trust_all,
        is_taken=lambda _: False,
        now=0.0,
        random=chance(seed),
    )
    reply = reply_to(other, HERE, one.start().payload, reachable=True)
    step = one.receive(reply.code, reply.payload, 0.0)
    assert isinstance(step, Post)
    return step.payload


@pytest.mark.parametrize(
    "payload",
    ["", "f5", "f500", "00", "0000", "f6", "01", "0140", "014000", "0102", "010203", "ff", "f5f5", "0141"],
)
def test_nonsense_is_answered_with_little_and_leaves_nothing(payload: str) -> None:
    other = called()
    data = bytes.fromhex(payload)
    reply = reply_to(other, HERE, data)
    assert reply.code == carriage.BAD_REQUEST
    assert len(reply.payload) <= 3 * len(data)
    assert (other.waiting, other.timer()) == (0, None)
    if reply.payload:
        ErrorMessage.read(reply.payload)


def test_a_hook_that_breaks_ends_its_handshake_and_no_other() -> None:
    def decide(proven: object) -> Decision:
        raise ZeroDivisionError

    one, other = handshake(), called(decide=decide)
    reply = reply_to(other, HERE, one.start().payload)
    step = one.receive(reply.code, reply.payload, 0.0)
    assert isinstance(step, Post)
    with pytest.raises(ZeroDivisionError):
        other.receive(HERE, step.payload, 0.0)
    assert other.waiting == 0
    assert reply_to(other, HERE, step.payload).code == carriage.BAD_REQUEST


def test_a_new_credential_is_shown_from_the_next_handshake_on() -> None:
    other = called()
    renewed = member(BOB)
    one = handshake()
    reply = reply_to(other, HERE, one.start().payload)
    other.credential = renewed
    assert isinstance(one.receive(reply.code, reply.payload, 0.0), Post)
    shown: list[Presented] = []

    def trust(presented: Presented) -> Identified:
        shown.append(presented)
        return trust_all(presented)

    one = handshake(random=chance(3), trust=trust)
    reply = reply_to(other, HERE, one.start().payload)
    one.receive(reply.code, reply.payload, 0.0)
    assert [presented.cred for presented in shown] == [renewed.cred]
    assert renewed.cred != member(BOB, ISSUER).cred


@given(
    st.lists(
        st.tuples(
            st.integers(0, 12),
            st.integers(0, 3),
            st.integers(0, 40),
            st.booleans(),
            st.sampled_from((0, 255)),
        ),
        max_size=60,
    )
)
def test_whatever_is_asked_the_bounds_hold(asked: list[tuple[int, int, int, bool, int]]) -> None:
    other, now = called(), 0.0
    hosts: set[str] = set()
    for host, port, seed, reachable, length in asked:
        now += 0.1
        payload = ASKED[seed, length]
        place = Place(f"host-{host}", port)
        reply = reply_to(other, place, payload, now, reachable=reachable)
        if not reachable:
            assert len(reply.payload) <= 3 * len(payload)
        if reply.code == carriage.CHANGED:
            hosts.add(place.host)
        else:
            assert reply.code in (carriage.UNAUTHORIZED, carriage.SERVICE_UNAVAILABLE)
        assert other.waiting <= MAX_PENDING_PER_HOST * len(hosts)
    other.handle_timer(now + PENDING_LIFETIME)
    assert other.waiting == 0


def test_an_echo_value_is_good_for_its_address_and_a_while() -> None:
    echo = Echo(bytes(32))
    value = echo.value(HERE, 10.0)
    assert len(value) == 8
    assert echo.accepts(value, HERE, 10.0 + ECHO_PERIOD)
    assert not echo.accepts(value, HERE, 10.0 + 2 * ECHO_PERIOD)
    assert not echo.accepts(value, Place("here", 1), 10.0)
    assert not Echo(bytes(31) + b"\x01").accepts(value, HERE, 10.0)
    assert not echo.accepts(b"", HERE, 10.0)


def test_an_error_message_from_an_initiator_ends_its_handshake() -> None:
    other = called()
    one = handshake()
    reply = reply_to(other, HERE, one.start().payload)
    step = one.receive(reply.code, reply.payload, 0.0)
    assert isinstance(step, Post)
    c_r = step.payload[: len(step.payload) - len(cbor.encode(cbor.decode_sequence(step.payload)[1]))]
    assert reply_to(other, HERE, c_r + ErrorMessage(1, "never mind").encode()) == Reply(carriage.CHANGED)
    assert other.waiting == 0
    with pytest.raises(Invalid):
        ErrorMessage.read(b"")
