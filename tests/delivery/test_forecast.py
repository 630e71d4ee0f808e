"""When a queue is full or empty, as far as that can be known."""

from __future__ import annotations

import pytest

from kos_edge.delivery.forecast import Flow, Forecast
from kos_edge.delivery.load import LaneKey
from kos_edge.klp.pack import Class, Priority

LOW: LaneKey = ("hub", Class(Priority.LOW))
HIGH: LaneKey = ("hub", Class(Priority.HIGH))


class Queue:
    """Lanes with so many bytes in and out a second, 100 bytes a message."""

    def __init__(self) -> None:
        self.forecast = Forecast()
        self.now = 0.0
        self.flows = {LOW: Flow(), HIGH: Flow()}

    def run(self, seconds: int, *, comes: int = 0, leaves: int = 0) -> None:
        for _ in range(seconds):
            self.now += 1.0
            for flow in self.flows.values():
                flow.bytes_in += comes
                flow.messages_in += comes // 100
                flow.bytes_out += leaves
                flow.messages_out += leaves // 100
            self.forecast.sample(self.now, self.flows)


def test_a_steady_queue_drains_when_it_should() -> None:
    queue = Queue()
    queue.run(30, comes=1_000, leaves=5_000)
    drain = queue.forecast.drain(80_000)
    assert drain.seconds == pytest.approx(10.0)
    assert drain.low == pytest.approx(10.0)
    assert drain.high == pytest.approx(10.0)


def test_what_leaves_is_measured_since_it_began_to() -> None:
    queue = Queue()
    queue.run(50, comes=1_000)
    assert queue.forecast.drain(100_000).why == "nothing leaves now"
    queue.run(8, comes=1_000, leaves=20_000)
    assert queue.forecast.drain(380_000).seconds == pytest.approx(10.0)
    queue.run(20, comes=1_000)
    assert queue.forecast.drain(100_000).why == "nothing leaves now"


def test_a_queue_in_an_outage_is_full_at_the_rate_at_which_it_grows() -> None:
    queue = Queue()
    queue.run(20, comes=1_000)
    assert queue.forecast.full(200_000, of="bytes").seconds == pytest.approx(100.0)
    assert queue.forecast.full(1_000, of="messages").seconds == pytest.approx(50.0)


def test_a_queue_that_does_not_grow_is_never_full_and_one_that_grows_never_empty() -> None:
    queue = Queue()
    queue.run(20, comes=1_000, leaves=2_000)
    assert queue.forecast.full(1_000_000, of="bytes").seconds is None
    other = Queue()
    other.run(20, comes=2_000, leaves=1_000)
    assert other.forecast.drain(1_000).why == "as much comes in as leaves"


def test_it_says_that_it_does_not_know_yet() -> None:
    forecast = Forecast()
    assert forecast.drain(1_000).seconds is None
    assert "not known" in forecast.drain(1_000).why
    assert forecast.total().bytes_in is None
    assert forecast.drain(0).seconds == 0.0


def test_the_uncertainty_is_larger_where_the_rate_changes() -> None:
    steady, moody = Queue(), Queue()
    for second in range(60):
        steady.run(1, leaves=1_000)
        moody.run(1, leaves=2_000 if second % 20 < 10 else 0)
    calm, wild = steady.forecast.drain(100_000), moody.forecast.drain(100_000)
    assert calm.low == pytest.approx(calm.seconds or 0)
    assert wild.seconds is None or (wild.low or 0) < 0.9 * wild.seconds


def test_each_lane_has_its_rates() -> None:
    queue = Queue()
    queue.flows[HIGH] = Flow()
    queue.run(20, comes=500, leaves=100)
    queue.flows[HIGH].bytes_in += 20_000
    queue.run(1)
    rates = queue.forecast.lanes()
    busy, calm = rates[HIGH].bytes_in, rates[LOW].bytes_in
    assert busy is not None
    assert calm is not None
    assert busy.value > 2 * calm.value
