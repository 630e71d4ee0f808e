from __future__ import annotations

import random

import pytest
from aiocoap import Message as JudgeMessage
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.errors import Invalid, Misuse
from kos_edge.transport import coap, wire
from kos_edge.transport.coap import ACK, CON, GET, NON, RST, Message, Request

values = st.binary(max_size=300)
option_lists = st.lists(st.tuples(st.integers(1, 0xFFFF), values), max_size=8).map(
    lambda found: tuple(sorted(found, key=lambda option: option[0]))
)


@given(option_lists, st.binary(max_size=50), st.binary(max_size=8), st.sampled_from((CON, NON)))
def test_a_message_comes_back_from_its_datagram(
    options: coap.Options, payload: bytes, token: bytes, kind: int
) -> None:
    message = Message(GET, token, options, payload, kind, 0x1234)
    assert wire.decode_datagram(wire.encode_datagram(message)) == message


@given(st.binary(max_size=80))
def test_whatever_arrives_is_a_message_or_invalid(data: bytes) -> None:
    try:
        message = wire.decode_datagram(data)
    except Invalid:
        return
    assert wire.decode_datagram(wire.encode_datagram(message)) == message


def test_the_judge_reads_what_we_write_and_we_read_what_it_writes() -> None:
    chance = random.Random(5)
    for _ in range(200):
        payload = chance.randbytes(chance.randrange(1, 300))
        ours = wire.encode_datagram(
            Message(
                coap.POST,
                chance.randbytes(chance.randrange(9)),
                ((coap.URI_PATH, b"klp"), (coap.CONTENT_FORMAT, b"\x3c"), (coap.ECHO, b"e" * 8)),
                payload,
                CON,
                chance.randrange(65_536),
            )
        )
        judged = JudgeMessage.decode(ours)
        assert (judged.opt.uri_path, judged.opt.content_format, judged.opt.echo) == (("klp",), 60, b"e" * 8)
        assert judged.payload == payload
        again = judged.copy(payload=payload)
        again.direction = type(judged.direction).OUTGOING
        assert again.encode() == ours


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "400100",  # no header
        "80010001",  # version 2
        "49010001" + "00" * 9,  # a token of nine bytes
        "4401000100",  # a token cut short
        "40010001ff",  # a marker and no payload
        "40010001f0",  # a delta that is reserved
        "400100010f",  # a length that is reserved
        "4001000131",  # an option cut short
        "40010001d0",  # an extended delta cut short
        "4000000100",  # empty, with something behind
        "41000001aa",  # empty, with a token
        "50000001",  # empty and non-confirmable
        "60010001",  # a request on an acknowledgement
        "70010001",  # a request on a reset
        "40210001",  # class 1
        "40c10001",  # class 6
        "40e10001",  # signalling has no place on datagrams
        "40010001" + "e0ffff" * 2,  # an option number over 65,535
        "40010001" + "00" * 65,  # more options than anybody needs
    ],
)
def test_a_datagram_that_breaks_the_rules_is_invalid(damaged: str) -> None:
    with pytest.raises(Invalid):
        wire.decode_datagram(bytes.fromhex(damaged))


def test_unknown_options_leave_no_memory_behind() -> None:
    # The judge keeps an object for each option number that it ever saw: 9 MB after 40,000 datagrams.
    import tracemalloc

    tracemalloc.start()
    for number in range(300, 20_300):
        head = b"\x50\x01\x00\x01\xe0" + (number - 269).to_bytes(2, "big")
        wire.decode_datagram(head)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 100_000


def test_a_reset_and_an_empty_acknowledgement_are_four_bytes() -> None:
    assert wire.decode_datagram(b"\x70\x00\x12\x34") == Message(0, b"", (), b"", RST, 0x1234)
    assert wire.encode_datagram(Message(0, kind=ACK, mid=7)) == b"\x60\x00\x00\x07"


def test_options_must_rise() -> None:
    with pytest.raises(Misuse):
        wire.encode_options(((12, b""), (11, b"")))


def test_a_path_is_text_whose_segments_have_no_slash() -> None:
    assert coap.read_request(GET, ((11, b".well-known"), (11, b"core")), b"").path == "/.well-known/core"
    for segment in (b"\xff", b"a/b", b"x" * 256):
        with pytest.raises(Invalid):
            coap.read_request(GET, ((11, segment),), b"")


def test_a_request_without_a_leading_slash_is_our_own_mistake() -> None:
    with pytest.raises(Misuse):
        wire.encode_request(Request(GET, "klp"))


def test_an_unknown_critical_option_is_invalid_and_an_elective_one_is_kept() -> None:
    with pytest.raises(Invalid):
        coap.read_request(GET, ((9_999, b""),), b"")
    assert coap.read_request(GET, ((9_998, b"x"),), b"").option(9_998) == b"x"
    with pytest.raises(Invalid):
        coap.read_response(coap.CONTENT, ((9_999, b""),), b"")


def test_codes_are_shown_as_people_know_them() -> None:
    assert coap.code_text(coap.UNAUTHORIZED) == "4.01"
    assert coap.code_text(coap.CONTINUE) == "2.31"
