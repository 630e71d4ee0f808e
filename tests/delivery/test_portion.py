"""How much goes into one request over a stream follows what the link carries."""

from __future__ import annotations

from collections import deque

import pytest

from kos_edge.delivery.portion import FIRST, LEAST, LONG_S, Portion


def carried(portion: Portion, rate: float, in_flight: int, answers: int) -> None:
    """So many answers, with so many requests under way at a time, over a link of this rate."""
    now, through = 0.0, 0.0
    flying: deque[tuple[float, float]] = deque()
    for _ in range(answers):
        while len(flying) < in_flight:
            through = max(through, now) + portion.size / rate
            flying.append((now, through))
        sent_at, now = flying.popleft()
        portion.on_answer(sent_at, 0.0, now)


def test_on_a_fast_link_it_grows_to_all_that_a_request_holds() -> None:
    portion = Portion(64_000)
    carried(portion, 10e6, 8, 100)
    assert portion.size == 64_000


@pytest.mark.parametrize("rate", [16_000, 64_000, 200_000])
@pytest.mark.parametrize("in_flight", [2, 8])
def test_on_a_slow_link_what_is_in_flight_takes_no_longer_than_a_person_notices(
    rate: int, in_flight: int
) -> None:
    portion = Portion(64_000)
    carried(portion, rate, in_flight, 200)
    assert in_flight * portion.size / rate <= 3 * LONG_S


def test_the_receivers_own_time_is_not_the_links() -> None:
    portion = Portion(64_000)
    portion.on_answer(0.0, 2.0, 2.05)
    assert portion.size == 2 * FIRST


def test_a_datagram_is_a_datagram() -> None:
    portion = Portion(LEAST)
    portion.on_timeout(1.0)
    assert portion.size == LEAST
    portion.on_answer(2.0, 0.0, 2.01)
    assert portion.size == LEAST
