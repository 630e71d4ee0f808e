"""Steady time: the wall clock as it was first believed; no step of it makes anything older or younger."""

from __future__ import annotations

from kos_edge.clock import ManualClock
from kos_edge.node.uptime import Uptime
from kos_edge.store.store import Store

DAYS_400 = 400 * 86_400.0
START_MS = 1_800_000_000_000


def started(clock: ManualClock, store: Store) -> Uptime:
    """A new process on the same machine."""
    return Uptime.of(clock, store, ())


def commit(store: Store, uptime: Uptime) -> None:
    store.database.transact([lambda: uptime.keep(store.database)])


def test_a_step_of_the_wall_clock_is_none_of_steady_time() -> None:
    clock, store = ManualClock(), Store(":memory:")
    uptime = started(clock, store)
    assert uptime.steady_ms() == START_MS
    for step in (DAYS_400, -2 * DAYS_400):
        clock.step_wall(step)
        clock.advance(10)
    assert uptime.steady_ms() == START_MS + 20_000


def test_over_a_restart_it_goes_on_by_a_wall_clock_that_stayed_wrong() -> None:
    clock, store = ManualClock(), Store(":memory:")
    uptime = started(clock, store)
    uptime.steady_ms()
    clock.step_wall(DAYS_400)
    commit(store, uptime)
    clock.advance(60)
    assert started(clock, store).steady_ms() == START_MS + 60_000


def test_people_see_the_time_that_the_wall_clock_says_now() -> None:
    clock, store = ManualClock(), Store(":memory:")
    uptime = started(clock, store)
    then = uptime.steady_ms()
    assert then is not None
    clock.step_wall(-5)
    assert uptime.shown_ms(then) == START_MS - 5_000


def test_people_see_the_same_time_whenever_they_look() -> None:
    """The two clocks are read one after the other, and the wall clock drifts: that is no step."""
    clock, store = ManualClock(), Store(":memory:")
    uptime = started(clock, store)
    then = uptime.steady_ms()
    assert then is not None
    for drift in (0.001, -0.003, 0.2):
        clock.step_wall(drift)
        assert uptime.shown_ms(then) == START_MS


def test_it_is_unknown_until_the_wall_clock_is_set_and_never_goes_back() -> None:
    clock = ManualClock(wall=100.0)
    uptime = Uptime(clock, newest_ms=START_MS)
    assert uptime.steady_ms() is None
    clock.step_wall(1_800_000_000.0 - 3_600 - clock.wall())
    assert uptime.steady_ms() == START_MS
    clock.advance(1)
    assert uptime.steady_ms() == START_MS + 1_000
