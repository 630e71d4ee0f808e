from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.errors import Invalid, Misuse
from kos_edge.transport import framing
from kos_edge.transport.coap import CHANGED, POST, Message
from kos_edge.transport.framing import (
    ABORT,
    CSM,
    MAX_AFTER,
    MAX_BEFORE,
    PING,
    PONG,
    RELEASE,
    Stream,
    decode_frame,
    encode_frame,
    frame_extent,
)

HELLO = encode_frame(Message(CSM))


def ready() -> Stream:
    it = Stream()
    it.receive(HELLO)
    it.pending()
    return it


def frames(data: bytes) -> list[Message]:
    found, at = [], 0
    while at < len(data):
        extent = frame_extent(data, at)
        assert extent is not None
        found.append(decode_frame(data[at : extent[1]], extent[0] - at))
        at = extent[1]
    return found


SIZES = [0, 1, 10, 11, 12, 13, 255, 268, 269, 270, 65_534, 65_535, 65_803, 65_804, 65_805, 70_000]


@pytest.mark.parametrize("size", SIZES)
def test_every_length_coding_comes_back(size: int) -> None:
    message = Message(POST, b"token", ((11, b"klp"),), bytes(size))
    assert frames(encode_frame(message)) == [message]


@given(st.lists(st.binary(max_size=400), max_size=6), st.integers(1, 50))
def test_chunking_changes_nothing(bodies: list[bytes], chunk: int) -> None:
    wire = HELLO + b"".join(encode_frame(Message(POST, b"t", (), body)) for body in bodies)
    it, got = Stream(), []
    for at in range(0, len(wire), chunk):
        it.receive(wire[at : at + chunk])
        got += it.messages()
    assert [message.payload for message in got] == bodies
    assert it.closed is None


def test_the_first_word_of_both_sides_is_capabilities() -> None:
    [hello] = frames(Stream().pending())
    assert hello == Message(CSM, options=((2, MAX_BEFORE.to_bytes(2, "big")),))
    it = Stream()
    it.receive(encode_frame(Message(POST, b"t")))
    assert it.closed is not None
    assert it.messages() == []


def test_authentication_raises_the_limit_and_says_so() -> None:
    it = ready()
    it.authenticate()
    assert frames(it.pending()) == [Message(CSM, options=((2, MAX_AFTER.to_bytes(3, "big")),))]
    it.receive(encode_frame(Message(POST, b"t", (), bytes(65_536))))
    assert len(it.messages()[0].payload) == 65_536


def test_before_it_a_message_over_2_kib_closes_before_it_has_arrived() -> None:
    it = ready()
    it.receive(encode_frame(Message(POST, b"t", (), bytes(MAX_BEFORE)))[:6])
    assert it.closed is not None
    [aborted] = frames(it.pending())
    assert aborted.code == ABORT
    assert it.held == 0


def test_what_a_peer_takes_is_respected_and_may_grow() -> None:
    it = ready()
    with pytest.raises(Misuse):
        it.send(Message(CHANGED, b"t", (), bytes(1_200)))
    it.receive(encode_frame(Message(CSM, options=((2, b"\x10\x00"),))))
    it.send(Message(CHANGED, b"t", (), bytes(1_200)))
    assert it.peer_max == 4_096


def test_a_ping_gets_its_pong() -> None:
    it = ready()
    it.receive(encode_frame(Message(PING, b"p")))
    assert frames(it.pending()) == [Message(PONG, b"p")]


@pytest.mark.parametrize("code", [RELEASE, ABORT])
def test_the_other_side_can_end_it(code: int) -> None:
    it = ready()
    it.receive(encode_frame(Message(code)) + encode_frame(Message(POST, b"late")))
    assert it.closed is not None
    assert it.messages() == []


def test_what_came_before_the_end_is_still_delivered() -> None:
    it = ready()
    it.receive(encode_frame(Message(POST, b"t")) + b"\x0f\xff")
    assert it.closed is not None
    assert [message.token for message in it.messages()] == [b"t"]


@pytest.mark.parametrize(
    "bad",
    [
        b"\x09" + bytes(10),  # a token of nine bytes
        b"\x10\x02\xf0",  # a reserved option header
        b"\x00\xff",  # a signalling code that nobody defined
        b"\x00\x21",  # class 1
        encode_frame(Message(CSM, options=((9, b""),))),  # an unknown critical capability
        encode_frame(Message(PING, options=((9, b""),))),
        b"\xf0\xff\xff\xff\xff\x02",  # four gigabytes announced
    ],
)
def test_bad_framing_closes(bad: bytes) -> None:
    it = ready()
    it.receive(bad)
    assert it.closed is not None
    it.receive(encode_frame(Message(POST, b"t")))
    assert it.messages() == []


def test_an_empty_message_is_ignored() -> None:
    it = ready()
    it.receive(b"\x00\x00")
    assert it.closed is None


def test_release_is_said_once() -> None:
    it = ready()
    it.release()
    it.release()
    assert frames(it.pending()) == [Message(RELEASE)]


def test_a_frame_is_not_read_before_its_header_is_whole() -> None:
    data = encode_frame(Message(POST, b"t", (), bytes(300)))
    assert [frame_extent(data[:size]) for size in range(3)] == [None, None, None]
    with pytest.raises(Invalid):
        framing.frame_extent(b"\x0f")


def test_tiny_messages_are_read_a_few_at_a_time() -> None:
    machine = Stream()
    machine.authenticate()
    machine.pending()
    machine.receive(encode_frame(Message(framing.CSM)) + encode_frame(Message(framing.PING)) * 1_000)
    turns = 1
    while machine.more:
        assert len(machine.pending()) <= 2 * framing.TURN
        machine.read()
        turns += 1
    assert turns == 1_001 // framing.TURN + 1
    assert machine.held == 0


def test_a_stranger_says_little_before_it_has_proved_who_it_is() -> None:
    machine = Stream()
    machine.receive(encode_frame(Message(framing.CSM)) + encode_frame(Message(framing.PING)) * 1_000)
    assert machine.closed == f"more than {framing.MESSAGES_BEFORE} messages from whom nobody knows"
    assert machine.held == 0
