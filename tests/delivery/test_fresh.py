"""What a receiver does with a pack of a fresh-first stream."""

from __future__ import annotations

import pytest

from kos_edge.delivery.fresh import FreshLane
from kos_edge.delivery.position import Verdict
from kos_edge.delivery.spans import Run
from kos_edge.delivery.wire import MAX_RANGES
from kos_edge.klp.pack import Boundary

EPOCH = 1 << 32


def named(number: int) -> bytes:
    """The chain hash of the pack that ends with this number."""
    return number.to_bytes(16, "big")


def run(first: int, last: int) -> Run:
    """A pack of an honest source."""
    return Run(first, last, named(first - 1) if first > 1 else None, named(last))


@pytest.fixture
def lane() -> FreshLane:
    lane = FreshLane()
    lane.take(EPOCH, run(21, 30))
    return lane


def test_whatever_is_new_is_taken_at_once(lane: FreshLane) -> None:
    for pack in (run(1, 10), run(11, 20), run(31, 31), run(100_000, 100_010)):
        assert lane.judge(EPOCH, pack) is Verdict.NEXT
    assert lane.judge(EPOCH + 1, run(7, 9)) is Verdict.NEXT


def test_what_is_held_is_a_duplicate_for_ever(lane: FreshLane) -> None:
    lane.take(EPOCH, run(11, 20))
    assert lane.judge(EPOCH, run(21, 30)) is Verdict.DUPLICATE
    assert lane.judge(EPOCH, run(11, 20)) is Verdict.DUPLICATE


def test_late_is_what_comes_after_something_newer(lane: FreshLane) -> None:
    assert lane.is_late(EPOCH, 20)
    assert not lane.is_late(EPOCH, 40)
    lane.take(EPOCH + 1, run(1, 1))
    assert lane.is_late(EPOCH, 40)
    assert not lane.is_late(EPOCH + 1, 2)


@pytest.mark.parametrize(
    "pack",
    [
        Run(21, 30, named(20), b"another at 30..."),
        Run(31, 40, b"not what is held", named(40)),
        Run(11, 20, named(10), b"not what 21 says"),
        Run(25, 35, named(24), named(35)),
        Run(15, 40, named(14), named(40)),
        Run(2, 3, Boundary(1, 1, named(1)), named(3)),
    ],
)
def test_what_contradicts_its_neighbours_is_a_fork(lane: FreshLane, pack: Run) -> None:
    assert lane.judge(EPOCH, pack) is Verdict.FORK


def test_an_epoch_that_names_another_end_of_the_one_before_is_a_fork(lane: FreshLane) -> None:
    honest = Run(1, 5, Boundary(EPOCH, 30, named(30)), named(5))
    other = Run(1, 5, Boundary(EPOCH, 30, named(29)), named(5))
    assert lane.judge(EPOCH + 1, honest) is Verdict.NEXT
    assert lane.judge(EPOCH + 1, other) is Verdict.FORK


def test_the_number_of_runs_is_bounded_and_what_fits_none_comes_later() -> None:
    lane = FreshLane()
    for number in range(MAX_RANGES):
        lane.take(EPOCH, run(10 * number + 1, 10 * number + 2))
    assert lane.judge(EPOCH, run(5_001, 5_002)) is Verdict.NOT_NOW
    assert lane.judge(EPOCH, run(3, 4)) is Verdict.NEXT
    lane.take(EPOCH, run(3, 10))
    assert lane.judge(EPOCH, run(5_001, 5_002)) is Verdict.NEXT


def test_what_the_source_has_no_more_is_held_then(lane: FreshLane) -> None:
    assert lane.declare(EPOCH, 21)
    assert lane.spans(EPOCH).held == 30
    assert not lane.declare(EPOCH, 15)
