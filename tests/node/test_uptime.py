"""Steady time: the wall clock as it was first believed; no step of it makes anything older or younger."""

from __future__ import annotations

from kos_edge.clock import ManualClock
from kos_edge.node.uptime import Uptime
from kos_edge.store.store import Store

DAYS_400 = 400 * 86_400.0
START_MS = 1_800_000_000_000
HUB, OTHER_HUB = bytes(16), bytes([1] * 16)


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


def test_without_a_clock_the_time_of_a_hub_counts_power_off_time() -> None:
    clock, store = ManualClock(wall=100.0), Store(":memory:")
    uptime = started(clock, store)
    uptime.heard(HUB, START_MS)
    clock.advance(10)
    assert uptime.steady_ms() == START_MS + 10_000
    commit(store, uptime)
    uptime = started(clock, store)
    assert uptime.steady_ms() is None
    uptime.heard(HUB, START_MS + 3_600_000)
    assert uptime.steady_ms() == START_MS + 3_600_000


def test_a_hub_does_not_move_the_time_of_a_node_that_has_one() -> None:
    clock = ManualClock()
    uptime = Uptime(clock)
    for step_ms in (86_400_000, -86_400_000):
        uptime.heard(HUB, START_MS + step_ms)
        assert uptime.steady_ms() == START_MS
    clock.step_wall(100.0 - clock.wall())
    uptime.heard(HUB, START_MS + 86_400_000)
    assert uptime.steady_ms() == START_MS


def test_a_hub_with_another_time_is_understood_by_how_much_they_differed() -> None:
    """Else what was stamped while the clock was a day ahead would be a day younger than it is."""
    clock, store = ManualClock(), Store(":memory:")
    uptime = started(clock, store)
    uptime.heard(HUB, START_MS - 86_400_000)
    uptime.heard(OTHER_HUB, START_MS + 5_000)
    commit(store, uptime)
    clock.step_wall(100.0 - clock.wall())
    for hub, then_ms in ((HUB, START_MS - 86_400_000), (OTHER_HUB, START_MS + 5_000)):
        uptime = started(clock, store)
        uptime.heard(hub, then_ms + 60_000)
        assert uptime.steady_ms() == START_MS + 60_000


def test_the_time_of_a_hub_takes_nothing_back_and_nobody_is_centuries_ahead() -> None:
    clock = ManualClock(wall=100.0)
    uptime = Uptime(clock)
    for nonsense in (0, 100_000, 2**63 - 1):
        uptime.heard(HUB, nonsense)
        assert uptime.steady_ms() is None
    uptime.heard(HUB, START_MS)
    clock.advance(5)
    uptime.heard(HUB, START_MS - 3_600_000)
    assert uptime.steady_ms() == START_MS + 5_000


def test_a_hub_that_was_never_compared_with_what_was_stamped_is_not_believed() -> None:
    uptime = Uptime(ManualClock(wall=100.0), newest_ms=START_MS)
    uptime.heard(HUB, START_MS + 60_000)
    assert uptime.steady_ms() is None
