"""Who goes next on a full link: shares by weight, critical first, nobody starved."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.delivery.fair import Fair, Weights
from kos_edge.delivery.load import LaneKey
from kos_edge.klp.pack import Class, Priority

LOW, NORMAL, HIGH, CRITICAL = (("hub", Class(priority)) for priority in Priority)


def carried(fair: Fair, sizes: dict[LaneKey, int], choices: int) -> Counter[LaneKey]:
    """Bytes of each lane after so many choices, all of them with more to send."""
    sent: Counter[LaneKey] = Counter()
    for _ in range(choices):
        lane = fair.choose(sizes)
        fair.sent(lane, sizes[lane])
        sent[lane] += sizes[lane]
    return sent


@pytest.mark.parametrize("sizes", [(1000, 1000, 1000), (60, 900, 64_000), (64_000, 300, 100)])
def test_saturated_priorities_share_bytes_by_weight(sizes: tuple[int, int, int]) -> None:
    sent = carried(Fair(Weights(1, 2, 4)), dict(zip((LOW, NORMAL, HIGH), sizes, strict=True)), 50_000)
    total = sent.total()
    for lane, weight in ((LOW, 1), (NORMAL, 2), (HIGH, 4)):
        assert sent[lane] == pytest.approx(total * weight / 7, rel=0.05)


def test_what_one_does_not_use_the_others_get() -> None:
    sent = carried(Fair(Weights(1, 2, 4)), {LOW: 500, HIGH: 500}, 5000)
    assert sent[LOW] == pytest.approx(sent.total() / 5, rel=0.05)


def test_lanes_of_one_priority_share_alike() -> None:
    other = ("group:pumps", Class(Priority.LOW))
    fresh = ("hub", Class(Priority.LOW, fresh=True))
    sent = carried(Fair(), {LOW: 300, other: 700, fresh: 1000}, 9000)
    for lane in (LOW, other, fresh):
        assert sent[lane] == pytest.approx(sent.total() / 3, rel=0.05)


def test_critical_goes_before_whatever_waits() -> None:
    fair = Fair()
    carried(fair, {LOW: 1000, NORMAL: 1000, HIGH: 1000}, 100)
    assert fair.choose({LOW: 1000, NORMAL: 1000, HIGH: 1000, CRITICAL: 800}) == CRITICAL


def test_a_flood_of_critical_leaves_the_others_a_tenth() -> None:
    sent = carried(Fair(), {LOW: 1000, HIGH: 1000, CRITICAL: 1000}, 10_000)
    assert sent[LOW] + sent[HIGH] == pytest.approx(sent.total() / 10, rel=0.05)
    assert sent[LOW] == pytest.approx((sent[LOW] + sent[HIGH]) / 5, rel=0.1)


def test_what_was_sent_while_alone_is_not_held_against_a_lane() -> None:
    fair = Fair(Weights(1, 2, 4))
    carried(fair, {LOW: 1000}, 1000)
    sent = carried(fair, {LOW: 1000, HIGH: 1000}, 50)
    assert sent[LOW] >= 8_000


@given(
    st.lists(
        st.dictionaries(st.sampled_from([LOW, NORMAL, HIGH, CRITICAL]), st.integers(1, 70_000), min_size=1),
        max_size=60,
    )
)
def test_whatever_waits_one_that_waits_is_chosen_and_choosing_again_gives_the_same(
    rounds: list[dict[LaneKey, int]],
) -> None:
    fair = Fair()
    for heads in rounds:
        lane = fair.choose(heads)
        assert lane in heads
        assert fair.choose(heads) == lane
        fair.sent(lane, heads[lane])
