"""Gathering what is published within its linger."""

from __future__ import annotations

from kos_edge.delivery.linger import Linger


def test_a_message_waits_for_its_linger_and_no_longer() -> None:
    linger: Linger[str, int] = Linger(full=1000)
    linger.add("air", 1, 100, 0.1, now=5.0)
    assert linger.take(5.05) == {}
    assert linger.due() == 5.1
    assert linger.take(5.1) == {"air": [1]}
    assert linger.due() is None


def test_the_most_urgent_message_takes_all_others_along() -> None:
    linger: Linger[str, int] = Linger(full=1000)
    linger.add("air", 1, 100, 10.0, now=0.0)
    linger.add("alarm", 2, 100, 0.0, now=1.0)
    assert linger.take(1.0) == {"air": [1], "alarm": [2]}


def test_what_fills_a_pack_goes_at_once() -> None:
    linger: Linger[str, int] = Linger(full=250)
    for number in range(3):
        linger.add("air", number, 100, 10.0, now=0.0)
    assert linger.take(0.0) == {"air": [0, 1, 2]}


def test_what_a_pack_has_once_counts_once() -> None:
    linger: Linger[str, int] = Linger(full=299)
    for number in range(3):
        linger.add("air", number, 40, 10.0, now=0.0, shared={"form": 100})
        assert linger.due() == 10.0
    linger.add("air", 3, 40, 10.0, now=0.0, shared={"form": 100})
    assert linger.due() == 0.0
    assert linger.take(0.0) == {"air": [0, 1, 2, 3]}
    linger.add("air", 4, 40, 10.0, now=0.0, shared={"form": 230})
    assert linger.due() == 0.0, "of the next batch it counts again"
