"""The window: delay makes it smaller, loss below a fifth does not; the timer follows RFC 6298."""

from __future__ import annotations

from kos_edge.delivery.window import INITIAL, RTO_FIRST, RTO_LEAST, RTO_MOST, Window


def answered(window: Window, times: int, seconds: float, *, delay: float = 0.0, start: float = 0.0) -> float:
    now = start
    for _ in range(times):
        window.on_sent()
        now += seconds
        window.on_answer(seconds, delay, now)
    return now


def test_it_begins_with_ten_and_doubles_in_a_round() -> None:
    window = Window()
    assert int(window.size) == INITIAL
    answered(window, INITIAL, 0.05)
    assert int(window.size) == 2 * INITIAL


def test_it_never_exceeds_its_most() -> None:
    window = Window(most=16)
    answered(window, 1000, 0.05)
    assert window.size == 16


def test_a_growing_round_trip_makes_it_smaller() -> None:
    window = Window()
    now = answered(window, 50, 0.05)
    before = window.size
    answered(window, 20, 0.25, start=now)
    assert window.size < before


def test_a_slow_disk_at_the_receiver_does_not() -> None:
    window = Window()
    now = answered(window, 50, 0.05)
    before = window.size
    answered(window, 20, 0.25, delay=0.2, start=now)
    assert window.size >= before


def test_ten_percent_of_loss_does_not_make_it_smaller() -> None:
    window = Window(most=64)
    now = 0.0
    for number in range(2000):
        window.on_sent()
        now += 0.01
        if number % 10 == 0:
            window.on_loss(now)
        else:
            window.on_answer(0.05, 0.0, now)
    assert window.size == 64


def test_forty_percent_of_loss_does() -> None:
    window = Window(most=64)
    now = 0.0
    for number in range(2000):
        window.on_sent()
        now += 0.01
        if number % 5 < 2:
            window.on_loss(now)
        else:
            window.on_answer(0.05, 0.0, now)
    assert window.size < 16


def test_the_timer_begins_at_a_second_and_follows_the_measured_round_trip() -> None:
    window = Window()
    assert window.rto == RTO_FIRST
    answered(window, 200, 0.01)
    assert window.rto == RTO_LEAST


def test_the_timer_doubles_while_nothing_comes_back_up_to_its_most() -> None:
    window = Window()
    for number in range(10):
        window.on_timeout(float(number))
    assert window.rto == RTO_MOST
