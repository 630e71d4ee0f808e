"""What a receiver does with the next pack of a lane."""

from __future__ import annotations

import pytest

from kos_edge.delivery.position import AHEAD_LIMIT, OPEN_EPOCHS, Lane, Verdict
from kos_edge.klp.header import Link
from kos_edge.klp.pack import Boundary, Class, Entry, Header, Stream

HASHES = {number: bytes([number]) * 16 for number in range(64)}
FIRST, SECOND = 1 << 32, 2 << 32


def header(first: int, *, epoch: int = FIRST, prev: Link = None) -> Header:
    return Header(Stream(bytes(16), "hub", Class(), epoch), first, prev, 0, None, None, (Entry("a"),))


@pytest.fixture
def lane() -> Lane:
    lane = Lane(chained=True)
    lane.take(FIRST, 1, 10, HASHES[1])
    return lane


def test_the_pack_that_names_what_is_held_is_next(lane: Lane) -> None:
    assert lane.judge(header(11, prev=HASHES[1]), 5) is Verdict.NEXT


def test_what_is_held_is_a_duplicate(lane: Lane) -> None:
    assert lane.judge(header(1), 10) is Verdict.DUPLICATE


def test_a_pack_beyond_a_gap_waits_and_is_a_duplicate_from_then_on(lane: Lane) -> None:
    assert lane.judge(header(16, prev=HASHES[2]), 5) is Verdict.AHEAD
    lane.keep_ahead(FIRST, 16, 20)
    assert lane.judge(header(16, prev=HASHES[2]), 5) is Verdict.DUPLICATE
    assert lane.position(FIRST).ranges() == ((16, 20),)


def test_a_pack_too_far_ahead_is_not_taken_now(lane: Lane) -> None:
    assert lane.judge(header(12 + AHEAD_LIMIT, prev=HASHES[2]), 1) is Verdict.NOT_NOW


def test_two_packs_for_one_place_are_a_fork(lane: Lane) -> None:
    assert lane.judge(header(8, prev=HASHES[2]), 5) is Verdict.FORK


def test_another_predecessor_is_a_fork(lane: Lane) -> None:
    assert lane.judge(header(11, prev=HASHES[9]), 5) is Verdict.FORK


def test_a_new_epoch_waits_until_the_one_before_it_is_complete(lane: Lane) -> None:
    begin = header(1, epoch=SECOND, prev=Boundary(FIRST, 15, HASHES[2]))
    assert lane.judge(begin, 5) is Verdict.AHEAD
    lane.take(FIRST, 11, 15, HASHES[2])
    assert lane.judge(begin, 5) is Verdict.NEXT


def test_an_epoch_whose_source_has_no_more_of_it_is_waited_for_no_longer(lane: Lane) -> None:
    begin = header(1, epoch=SECOND, prev=Boundary(FIRST, 15, HASHES[2]))
    lane.declare({SECOND: 1})
    assert lane.judge(begin, 5) is Verdict.NEXT


def test_two_ends_of_one_epoch_are_a_fork(lane: Lane) -> None:
    assert lane.judge(header(1, epoch=SECOND, prev=Boundary(FIRST, 10, HASHES[9])), 5) is Verdict.FORK


def test_what_was_settled_elsewhere_is_not_waited_for() -> None:
    lane = Lane(chained=True)
    lane.declare({FIRST: 500})
    assert lane.judge(header(500, prev=HASHES[3]), 5) is Verdict.NEXT


def test_open_epochs_are_bounded(lane: Lane) -> None:
    for number in range(2, 2 + OPEN_EPOCHS):
        lane.keep_ahead(number << 32, 5, 9)
    assert lane.judge(header(1, epoch=50 << 32, prev=Boundary(49 << 32, 3, HASHES[4])), 1) is Verdict.NOT_NOW


def test_another_pack_at_the_end_of_what_is_held_is_a_fork_and_the_same_one_a_duplicate(lane: Lane) -> None:
    assert lane.judge(header(1), 10, HASHES[9]) is Verdict.FORK
    assert lane.judge(header(1), 10, HASHES[1]) is Verdict.DUPLICATE
