from __future__ import annotations

import random

import pytest

from kos_edge.errors import Invalid
from kos_edge.transport import blockwise, coap
from kos_edge.transport.blockwise import (
    BLOCK_SIZE,
    MAX_AGE,
    MAX_BODY,
    Reassembly,
    Upload,
    block_value,
    read_block,
)
from kos_edge.transport.coap import BLOCK1, BLOCK2, CHANGED, CONTINUE, POST, REQUEST_TAG, Request, Response


def request(size: int) -> Request:
    return Request(POST, "/klp", random.Random(size).randbytes(size), 60, ((252, b"echo"),))


def test_a_body_arrives_as_it_was_whatever_its_length() -> None:
    for size in (1, 1_023, 1_024, 1_025, 2_048, 65_536):
        upload, inside = Upload(request(size), b"tag1"), Reassembly()
        whole: Request | Response = Response(CONTINUE)
        while isinstance(whole, Response):
            whole = inside.take(upload.block(), 0.0)
            if isinstance(whole, Response):
                assert upload.answered(whole) is None
        assert whole == request(size)
        assert inside.held == 0
        assert upload.answered(Response(CHANGED)) == Response(CHANGED)


def test_the_other_side_may_ask_for_smaller_blocks() -> None:
    upload = Upload(request(3_000), b"tag1")
    assert len(upload.block().payload) == 1_024
    assert upload.answered(Response(CONTINUE, options=((BLOCK1, block_value(0, True, 256)),))) is None
    second = upload.block()
    assert len(second.payload) == 256
    assert read_block(second.option(BLOCK1) or b"") == (4, True, 256)


@pytest.mark.parametrize("option", [b"", block_value(3, True, 1_024), b"\x00\x00\x00\x00"])
def test_an_answer_to_another_block_is_invalid(option: bytes) -> None:
    upload = Upload(request(5_000), b"tag1")
    upload.answered(Response(CONTINUE, options=((BLOCK1, block_value(0, True, 1_024)),)))
    with pytest.raises(Invalid):
        upload.answered(Response(CONTINUE, options=((BLOCK1, option),)))


def test_going_on_beyond_the_end_is_invalid() -> None:
    upload = Upload(request(10), b"tag1")
    with pytest.raises(Invalid):
        upload.answered(Response(CONTINUE, options=((BLOCK1, block_value(0, False, 1_024)),)))


def block(number: int, more: bool, payload: bytes, tag: bytes = b"t", size: int = 1_024) -> Request:
    options = ((BLOCK1, block_value(number, more, size)), (REQUEST_TAG, tag))
    return Request(POST, "/klp", payload, None, options)


def code(answer: Request | Response) -> int:
    assert isinstance(answer, Response)
    return answer.code


def test_a_gap_and_a_strangers_block_are_incomplete() -> None:
    inside = Reassembly()
    assert code(inside.take(block(1, True, bytes(1_024)), 0.0)) == coap.INCOMPLETE
    assert code(inside.take(block(0, True, bytes(1_024)), 0.0)) == CONTINUE
    assert code(inside.take(block(2, True, bytes(1_024)), 0.0)) == coap.INCOMPLETE
    assert code(inside.take(block(1, True, bytes(1_024), b"other"), 0.0)) == coap.INCOMPLETE
    assert code(inside.take(block(1, True, bytes(1_024)), 0.0)) == CONTINUE


def test_a_block_that_comes_again_under_new_protection_is_taken_as_the_one_it_is() -> None:
    inside = Reassembly()
    for number in (0, 1, 1, 0, 1):
        assert code(inside.take(block(number, True, bytes((number,)) * 1_024), 0.0)) == CONTINUE
    whole = inside.take(block(2, False, b"end"), 0.0)
    assert isinstance(whole, Request)
    assert whole.payload == bytes(1_024) + b"\x01" * 1_024 + b"end"


def test_a_new_upload_replaces_the_one_before_it() -> None:
    inside = Reassembly()
    inside.take(block(0, True, bytes(1_024), b"one"), 0.0)
    inside.take(block(0, True, b"2" * 1_024, b"two"), 0.0)
    assert code(inside.take(block(1, False, b"x", b"one"), 0.0)) == coap.INCOMPLETE
    whole = inside.take(block(1, False, b"x", b"two"), 0.0)
    assert isinstance(whole, Request)
    assert whole.payload == b"2" * 1_024 + b"x"


def test_memory_is_bounded_and_given_back() -> None:
    inside, number = Reassembly(), 0
    while (answer := code(inside.take(block(number, True, bytes(1_024)), 0.0))) == CONTINUE:
        number += 1
        assert inside.held <= MAX_BODY
    assert answer == coap.TOO_LARGE
    assert inside.held == 0


def test_an_upload_that_stands_still_is_forgotten() -> None:
    inside = Reassembly()
    inside.take(block(0, True, bytes(1_024)), 0.0)
    inside.expire(MAX_AGE - 1)
    assert inside.held == BLOCK_SIZE
    inside.expire(MAX_AGE)
    assert inside.held == 0


@pytest.mark.parametrize(
    "bad",
    [
        block(0, True, bytes(100)),
        block(0, False, bytes(1_025)),
        Request(POST, "/klp", b"x", None, ((BLOCK1, b"\x07"),)),
        Request(POST, "/klp", b"x", None, ((BLOCK1, bytes(4)),)),
        Request(POST, "/klp", b"x", None, ((BLOCK2, b"\x16"),)),
    ],
)
def test_a_block_that_breaks_the_rules_is_a_bad_request(bad: Request) -> None:
    assert code(Reassembly().take(bad, 0.0)) == coap.BAD_REQUEST


def test_what_is_no_block_passes_as_it_is() -> None:
    whole = request(10)
    assert blockwise.Reassembly().take(whole, 0.0) is whole
