from __future__ import annotations

import itertools
import random

import pytest

from kos_edge.errors import Unavailable
from kos_edge.transport import exchange, repeats
from kos_edge.transport.address import Address
from kos_edge.transport.coap import ACK, CHANGED, CON, EMPTY, NON, POST, RST, Message
from kos_edge.transport.exchange import Answered, Exchange, GaveUp, Requested
from kos_edge.transport.wire import decode_datagram, encode_datagram

PEER = Address("udp", "192.0.2.1", 5683)
OTHER = Address("udp", "192.0.2.2", 5683)


def machine(seed: int = 0) -> Exchange:
    return Exchange(random=random.Random(seed).randbytes)


def sent(exchange: Exchange) -> list[Message]:
    return [decode_datagram(data) for _, data in exchange.pending()]


def arrived(message: Message) -> bytes:
    return encode_datagram(message)


def request(kind: int, mid: int = 7, token: bytes = b"tok") -> Message:
    return Message(POST, token, (), b"ask", kind, mid)


def test_a_confirmable_request_is_repeated_four_times_ever_later_and_then_given_up() -> None:
    it = machine()
    it.request(PEER, Message(POST, b"t"), 0.0, confirmable=True)
    times, gave_up = [0.0], []
    while (due := it.timer()) is not None:
        gave_up += it.handle_timer(due)
        times += [due] * len(it.pending()[1 if len(times) == 1 else 0 :])
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(gaps) == exchange.MAX_RETRANSMIT
    assert 2.0 <= gaps[0] <= 3.0
    assert [gap / gaps[0] for gap in gaps] == pytest.approx([1, 2, 4, 8])
    assert gave_up == [GaveUp(b"t", "no acknowledgement after four retransmissions")]


def test_repetitions_are_the_same_bytes() -> None:
    it = machine()
    it.request(PEER, Message(POST, b"t", (), b"body"), 0.0, confirmable=True)
    first = it.pending()
    it.handle_timer(3.0)
    assert it.pending() == first


def test_an_acknowledgement_ends_the_repetition_and_the_answer_comes_apart() -> None:
    it = machine()
    it.request(PEER, Message(POST, b"t"), 0.0, confirmable=True)
    [asked] = sent(it)
    assert it.receive(PEER, arrived(Message(EMPTY, kind=ACK, mid=asked.mid)), 0.1) is None
    assert it.handle_timer(100.0) == []
    assert sent(it) == []
    event = it.receive(PEER, arrived(Message(CHANGED, b"t", (), b"late", CON, 99)), 101.0)
    assert isinstance(event, Answered)
    assert event.message.payload == b"late"
    it.accept(event, 101.0)
    assert sent(it) == [Message(EMPTY, kind=ACK, mid=99)]
    again = it.receive(PEER, arrived(Message(CHANGED, b"t", (), b"late", CON, 99)), 102.0)
    assert again is None
    assert sent(it) == [Message(EMPTY, kind=ACK, mid=99)]


def test_a_damaged_answer_does_not_end_the_repetition() -> None:
    it = machine()
    it.request(PEER, Message(POST, b"t"), 0.0, confirmable=True)
    [asked] = sent(it)
    damaged = it.receive(PEER, arrived(Message(CHANGED, b"t", (), b"xx", ACK, asked.mid)), 0.1)
    assert isinstance(damaged, Answered)  # and nobody accepts it
    it.handle_timer(3.0)
    assert len(sent(it)) == 1


def test_a_settled_request_is_not_repeated() -> None:
    it = machine()
    it.request(PEER, Message(POST, b"t"), 0.0, confirmable=True)
    it.pending()
    it.settle(b"t")
    assert it.handle_timer(3.0) == []
    assert it.pending() == []


def test_a_reset_gives_up() -> None:
    it = machine()
    it.request(PEER, Message(POST, b"t"), 0.0, confirmable=True)
    [asked] = sent(it)
    assert it.receive(OTHER, arrived(Message(EMPTY, kind=RST, mid=asked.mid)), 0.1) is None
    event = it.receive(PEER, arrived(Message(EMPTY, kind=RST, mid=asked.mid)), 0.1)
    assert event == GaveUp(b"t", "the other side rejected it with a reset", reset=True)


def test_a_ping_is_answered_by_a_reset() -> None:
    it = machine()
    assert it.receive(PEER, b"\x40\x00\x12\x34", 0.0) is None
    assert it.pending() == [(PEER, b"\x70\x00\x12\x34")]


def test_a_quick_answer_rides_on_the_acknowledgement_and_is_repeated_with_it() -> None:
    it = machine()
    event = it.receive(PEER, arrived(request(CON)), 0.0)
    assert isinstance(event, Requested)
    it.answer(event, Message(CHANGED, b"tok", (), b"done"), 0.1)
    first = it.pending()
    assert decode_datagram(first[0][1]) == Message(CHANGED, b"tok", (), b"done", ACK, 7)
    assert it.receive(PEER, arrived(request(CON)), 2.0) is None
    assert it.pending() == first
    it.handle_timer(60.0)
    assert it.pending() == []


def test_a_slow_answer_is_preceded_by_its_acknowledgement_and_asks_for_one() -> None:
    it = machine()
    event = it.receive(PEER, arrived(request(CON)), 0.0)
    assert isinstance(event, Requested)
    it.prove(event, 0.0)
    assert it.receive(PEER, arrived(request(CON)), 0.1) is None  # repeated while it is worked on
    assert it.pending() == []
    it.handle_timer(exchange.ACK_DELAY)
    assert sent(it) == [Message(EMPTY, kind=ACK, mid=7)]
    it.answer(event, Message(CHANGED, b"tok"), 5.0)
    [apart] = sent(it)
    assert (apart.kind, apart.token) == (CON, b"tok")
    it.receive(PEER, arrived(Message(EMPTY, kind=ACK, mid=apart.mid)), 5.1)
    it.handle_timer(60.0)
    assert sent(it) == []


def test_a_request_that_was_forgotten_is_heard_again() -> None:
    it = machine()
    event = it.receive(PEER, arrived(request(CON)), 0.0)
    assert isinstance(event, Requested)
    it.forget(event)
    assert it.receive(PEER, arrived(request(CON)), 2.0) == event
    it.handle_timer(1.0)


def test_a_non_confirmable_request_leaves_no_memory_and_gets_such_an_answer() -> None:
    it = machine()
    for mid in range(3):
        event = it.receive(PEER, arrived(request(NON, mid)), 0.0)
        assert isinstance(event, Requested)
        it.answer(event, Message(CHANGED, b"tok"), 0.0)
        assert sent(it)[0].kind == NON
    assert it.remembered == (0, 0)
    assert it.timer() is None


@pytest.mark.parametrize("proven", [True, False])
def test_memory_of_confirmable_requests_is_bounded_in_count_and_bytes(proven: bool) -> None:
    it = machine()
    most = repeats.MAX_SEEN if proven else repeats.MAX_SEEN_OF_STRANGERS
    for number in range(most + 500):
        ask(it, PEER, number, number * 1e-3, proven=proven)
    it.pending()
    seen, answers = it.remembered
    assert seen == most
    assert answers <= (repeats.MAX_ANSWERS if proven else repeats.MAX_ANSWERS_OF_STRANGERS)


def ask(it: Exchange, source: Address, number: int, now: float, *, proven: bool) -> bytes:
    """A confirmable request and its answer of 1,000 bytes; the datagram of the request."""
    data = arrived(request(CON, number & 0xFFFF, number.to_bytes(4, "big")))
    event = it.receive(source, data, now)
    assert isinstance(event, Requested)
    if proven:
        it.prove(event, now)
    it.answer(event, Message(CHANGED, event.message.token, (), bytes(1_000)), now)
    return data


def test_a_flood_of_strangers_does_not_cost_a_member_the_answer_that_was_lost() -> None:
    it = machine()
    data = ask(it, PEER, 1, 0.0, proven=True)
    for number in range(10_000):
        ask(it, OTHER, number, 1.0, proven=False)
    it.pending()
    assert it.receive(PEER, data, 2.0) is None
    assert len(sent(it)) == 1


def test_a_shorter_message_with_the_id_and_token_of_a_longer_one_gets_no_answer() -> None:
    it = machine()
    padded = Message(POST, b"t", (), bytes(300), CON, 1)
    event = it.receive(PEER, arrived(padded), 0.0)
    assert isinstance(event, Requested)
    it.answer(event, Message(CHANGED, b"t", (), bytes(800)), 0.0)
    it.pending()
    assert it.receive(PEER, arrived(Message(POST, b"t", kind=CON, mid=1)), 1.0) is None
    assert sent(it) == []
    assert it.receive(PEER, arrived(padded), 2.0) is None
    assert len(sent(it)) == 1


def test_a_stranger_is_answered_once_however_late() -> None:
    it = machine()
    event = it.receive(PEER, arrived(request(CON)), 0.0)
    assert isinstance(event, Requested)
    it.handle_timer(exchange.ACK_DELAY)
    it.answer(event, Message(CHANGED, b"tok"), 5.0)
    assert [message.kind for message in sent(it)] == [ACK, NON]
    assert it.timer() is None


def test_members_that_never_acknowledge_leave_room_for_requests() -> None:
    it = machine()
    for peer in range(100):
        source = Address("udp", f"192.0.2.{peer}", 5683)
        for number in range(30):
            event = it.receive(source, arrived(request(CON, number)), 0.0)
            assert isinstance(event, Requested)
            it.prove(event, 0.0)
            it.handle_timer(1.0)
            it.answer(event, Message(CHANGED, b"tok"), 1.0)
        assert it.apart <= min((peer + 1) * exchange.MAX_APART_PER_PEER, exchange.MAX_APART)
    assert it.apart == exchange.MAX_APART
    it.request(OTHER, Message(POST, b"mine"), 1.0, confirmable=True)
    while (due := it.timer()) is not None:
        it.handle_timer(due)
    assert it.apart == 0


def test_an_acknowledged_answer_makes_room_for_the_next() -> None:
    it = machine()
    for number in range(3 * exchange.MAX_APART_PER_PEER):
        event = it.receive(PEER, arrived(request(CON, number)), number)
        assert isinstance(event, Requested)
        it.prove(event, number)
        it.handle_timer(number + 0.5)
        it.answer(event, Message(CHANGED, b"tok"), number + 0.5)
        *_, apart = sent(it)
        assert apart.kind == CON
        it.receive(PEER, arrived(Message(EMPTY, kind=ACK, mid=apart.mid)), number + 0.6)
    assert it.apart == 0


def test_what_is_remembered_is_forgotten_with_time() -> None:
    it = machine()
    for at, mid in ((0.0, 1), (repeats.EXCHANGE_LIFETIME + 1, 2)):
        event = it.receive(PEER, arrived(request(CON, mid)), at)
        assert isinstance(event, Requested)
        it.answer(event, Message(CHANGED, b"tok"), at)
    assert it.remembered[0] == 1


def test_another_token_under_an_old_message_id_is_another_request() -> None:
    it = machine()
    assert it.receive(PEER, arrived(request(CON, 7, b"one")), 0.0) is not None
    assert it.receive(PEER, arrived(request(CON, 7, b"two")), 0.0) is not None


def test_message_ids_never_run_out() -> None:
    it = machine()
    for number in range(1_000):
        it.request(PEER, Message(POST, number.to_bytes(2, "big")), 0.0, confirmable=True)
    in_flight = {message.mid for message in sent(it)}
    assert len(in_flight) == 1_000
    for _ in range(140):
        for _ in range(1_000):
            it.request(PEER, Message(POST, b"n"), 0.0, confirmable=False)
        assert not in_flight & {message.mid for message in sent(it)}


def test_too_many_confirmable_requests_at_once_are_for_later() -> None:
    it = machine()
    for number in range(exchange.MAX_IN_FLIGHT):
        it.request(PEER, Message(POST, number.to_bytes(2, "big")), 0.0, confirmable=True)
    with pytest.raises(Unavailable):
        it.request(PEER, Message(POST, b"one more"), 0.0, confirmable=True)


def test_an_answer_nobody_waits_for_is_rejected_when_it_would_be_repeated() -> None:
    it = machine()
    for kind, expected in ((NON, []), (CON, [Message(EMPTY, kind=RST, mid=3)])):
        event = it.receive(PEER, arrived(Message(CHANGED, b"?", (), b"", kind, 3)), 0.0)
        assert isinstance(event, Answered)
        it.reject(event)
        assert sent(it) == expected


def test_noise_is_nothing() -> None:
    it, chance = machine(), random.Random(4)
    for _ in range(2_000):
        it.receive(PEER, chance.randbytes(chance.randrange(40)), 0.0)
