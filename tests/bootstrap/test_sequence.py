"""The start as a machine: its order, what is remembered, and when the next one is in safe mode."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.bootstrap.chronicle import from_bytes, to_bytes
from kos_edge.bootstrap.sequence import (
    ATTEMPTS_KEPT,
    FAILURES,
    ORDERS_KEPT,
    Chronicle,
    Ending,
    Mode,
    Ordered,
    Outcome,
    Sequence,
    Step,
    Wish,
    begin,
)
from kos_edge.errors import Invalid, Misuse


class Machine:
    """A computer with a daemon that starts again and again: `disk` is what was kept."""

    def __init__(self) -> None:
        self.disk = to_bytes(Chronicle())
        self.boot = "first"
        self.version, self.settings = "1.0", b"as it was"
        self.counts = True

    def start(self) -> Sequence:
        chronicle = begin(
            from_bytes(self.disk),
            version=self.version,
            settings=self.settings,
            boot=self.boot,
            at=1_800_000_000,
            counts=self.counts,
        )
        return Sequence(chronicle, self._keep)

    def _keep(self, chronicle: Chronicle) -> None:
        self.disk = to_bytes(chronicle)

    def reach(self, last: Step, *, finish: bool = True) -> Sequence:
        """A start that gets to the end of this step, or into it."""
        sequence = self.start()
        for step in Step:
            sequence.begin(step, float(step))
            if step is last and not finish:
                return sequence
            sequence.finish(step, step + 0.5, Outcome.DONE, f"{step.text} is done")
            if step is last:
                return sequence
        raise AssertionError

    def dies_in(self, step: Step) -> None:
        self.reach(step, finish=False)

    def fails_in(self, step: Step, why: str = "a reason") -> None:
        sequence = self.reach(step, finish=False)
        sequence.finish(step, 9.0, Outcome.FAILED, why)
        sequence.end(Ending.ERROR, why)

    def works(self) -> Sequence:
        sequence = self.reach(Step.SERVICES)
        sequence.stayed()
        return sequence


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_the_steps_are_those_of_the_requirements_in_their_order() -> None:
    assert [step.text for step in Step] == [
        "integrity", "configuration", "identity", "network", "agents", "keys", "registration", "services",
    ]  # fmt: skip


def test_each_step_has_an_outcome_a_duration_and_a_word(machine: Machine) -> None:
    sequence = machine.works()
    for step in Step:
        mark = sequence.mark(step)
        assert mark is not None
        assert (mark.outcome, mark.seconds, mark.said) == (Outcome.DONE, 0.5, f"{step.text} is done")
    assert sequence.troubles() == []


def test_a_step_out_of_order_is_our_mistake_and_changes_nothing(machine: Machine) -> None:
    sequence = machine.start()
    with pytest.raises(Misuse):
        sequence.begin(Step.NETWORK, 0.0)
    with pytest.raises(Misuse):
        sequence.finish(Step.INTEGRITY, 0.0, Outcome.DONE)
    sequence.begin(Step.INTEGRITY, 0.0)
    before = sequence.chronicle
    wrongs: list[Callable[[], None]] = [
        lambda: sequence.begin(Step.INTEGRITY, 0.0),
        lambda: sequence.begin(Step.CONFIGURATION, 0.0),
        lambda: sequence.update(Step.INTEGRITY, Outcome.DONE),
        lambda: sequence.finish(Step.INTEGRITY, 0.0, Outcome.RUNNING),
    ]
    for wrong in wrongs:
        with pytest.raises(Misuse):
            wrong()
    assert sequence.chronicle == before


@pytest.mark.parametrize("step", Step)
def test_after_a_crash_it_is_known_in_which_step(machine: Machine, step: Step) -> None:
    machine.dies_in(step)
    attempt = from_bytes(machine.disk).last
    assert attempt is not None
    assert attempt.reached is step
    assert attempt.how_it_ended("first") == f"died in the step {step.text}, without a word"
    assert (
        attempt.how_it_ended("second") == f"ended in the step {step.text} with the power, or with the machine"
    )


@pytest.mark.parametrize("step", Step)
def test_three_failures_in_any_step_lead_to_safe_mode(machine: Machine, step: Step) -> None:
    for _ in range(FAILURES - 1):
        machine.fails_in(step)
        assert machine.start().mode is Mode.DEFAULT
    machine.fails_in(step, "no such port")
    safe = machine.start()
    assert safe.mode is Mode.RECOVERY
    assert "safe mode: 3 starts in a row failed" in safe.attempt.reason
    assert f"ended in the step {step.text}: no such port" in safe.attempt.reason
    assert safe.troubles() == [safe.attempt.reason]


def test_three_crashes_without_a_word_lead_to_safe_mode_too(machine: Machine) -> None:
    machine.dies_in(Step.AGENTS)
    machine.reach(Step.SERVICES)  # in service, and gone within a minute
    machine.dies_in(Step.SERVICES)
    assert machine.start().mode is Mode.RECOVERY


def test_a_plug_that_is_pulled_again_and_again_locks_nobody_out(machine: Machine) -> None:
    for boot in range(10):
        machine.boot = f"boot {boot}"
        machine.dies_in(Step.AGENTS)
    machine.boot = "the last one"
    assert machine.start().mode is Mode.DEFAULT


def test_a_power_cut_between_two_failures_does_not_excuse_them(machine: Machine) -> None:
    machine.fails_in(Step.AGENTS)
    machine.dies_in(Step.AGENTS)
    machine.boot = "second"
    machine.fails_in(Step.AGENTS)
    machine.dies_in(Step.NETWORK)
    assert machine.start().mode is Mode.RECOVERY


def test_where_no_boot_can_be_told_from_another_only_errors_count(machine: Machine) -> None:
    machine.boot = ""
    for _ in range(5):
        machine.dies_in(Step.AGENTS)
    assert machine.start().mode is Mode.DEFAULT


def test_a_start_that_stayed_up_ends_the_row_however_it_ends(machine: Machine) -> None:
    machine.fails_in(Step.AGENTS)
    machine.fails_in(Step.AGENTS)
    machine.works()  # and crashes an hour later
    machine.fails_in(Step.AGENTS)
    machine.fails_in(Step.AGENTS)
    assert machine.start().mode is Mode.DEFAULT


def test_a_stop_in_order_is_no_failure_and_no_success(machine: Machine) -> None:
    for _ in range(2):
        machine.fails_in(Step.AGENTS)
    for ending in (Ending.ORDERLY, Ending.AGAIN):
        machine.reach(Step.SERVICES).end(ending)
        assert from_bytes(machine.disk).failures == 2
    assert machine.start().mode is Mode.DEFAULT
    machine.fails_in(Step.AGENTS)
    assert machine.start().mode is Mode.RECOVERY


def in_safe_mode(machine: Machine) -> None:
    for _ in range(FAILURES):
        machine.fails_in(Step.AGENTS)
    assert machine.works().mode is Mode.RECOVERY


def test_safe_mode_stays_over_restarts_and_crashes_of_its_own(machine: Machine) -> None:
    in_safe_mode(machine)
    for boot in ("first", "second", "third"):
        machine.boot = boot
        machine.dies_in(Step.SERVICES)
        assert machine.start().mode is Mode.RECOVERY


@pytest.mark.parametrize("what", ["version", "settings", "wish"])
def test_whoever_mends_something_gets_one_try_and_a_good_one_leaves_safe_mode(
    machine: Machine, what: str
) -> None:
    in_safe_mode(machine)

    def mend() -> None:
        match what:
            case "version":
                machine.version += ".1"
            case "settings":
                machine.settings += b"!"
            case _:
                chronicle = from_bytes(machine.disk)
                machine.disk = to_bytes(chronicle.wishing(Wish(Mode.DEFAULT, "kos-edge bootstrap")))

    mend()
    machine.fails_in(Step.AGENTS)
    assert from_bytes(machine.disk).attempts[-1].mode is Mode.DEFAULT
    assert machine.works().mode is Mode.RECOVERY
    mend()
    assert machine.works().mode is Mode.DEFAULT
    assert from_bytes(machine.disk).failures == 0
    machine.fails_in(Step.AGENTS)
    assert machine.start().mode is Mode.DEFAULT


def test_where_nothing_is_counted_there_is_no_safe_mode(machine: Machine) -> None:
    machine.counts = False
    for _ in range(10):
        machine.fails_in(Step.AGENTS)
    assert machine.start().mode is Mode.DEFAULT


def test_a_wish_holds_for_one_start(machine: Machine) -> None:
    machine.works().wish(Wish(Mode.MINIMAL, "kos-edge bootstrap"))
    wished = machine.works()
    assert (wished.mode, wished.attempt.cause) == (Mode.MINIMAL, "kos-edge bootstrap")
    assert machine.start().mode is Mode.DEFAULT


def test_what_waits_completes_later_and_is_kept(machine: Machine) -> None:
    sequence = machine.start()
    for step in Step:
        sequence.begin(step, 0.0)
        outcome = Outcome.WAITING if step is Step.REGISTRATION else Outcome.DONE
        sequence.finish(step, 2.0, outcome, "no hub yet")
    assert sequence.troubles() == []
    sequence.update(Step.REGISTRATION, Outcome.DONE, "a hub has it")
    attempt = from_bytes(machine.disk).last
    assert attempt is not None
    mark = attempt.marks[Step.REGISTRATION]
    assert mark is not None
    assert (mark.outcome, mark.said, mark.seconds) == (Outcome.DONE, "a hub has it", 2.0)


def test_changed_files_take_the_agents_away_before_they_start_and_not_after(machine: Machine) -> None:
    sequence = machine.reach(Step.INTEGRITY)
    sequence.fall_back("a file was changed")
    assert (sequence.mode, sequence.troubles()) == (Mode.RECOVERY, ["a file was changed"])
    sequence = machine.reach(Step.AGENTS)
    with pytest.raises(Misuse):
        sequence.fall_back("too late")


def test_what_is_kept_is_bounded_however_long_it_goes_on(machine: Machine) -> None:
    for number in range(40):
        sequence = machine.works()
        sequence.ordered(Ordered("hub " * 20, Mode.RECOVERY, number, bytes(300)))
        sequence.end(Ending.ERROR, "x" * 10_000)
    chronicle = from_bytes(machine.disk)
    assert len(chronicle.attempts) == ATTEMPTS_KEPT
    assert len(chronicle.orders) == ORDERS_KEPT
    assert chronicle.attempts[-1].number == 40
    assert len(machine.disk) < 20_000


@given(st.integers(0, 2_000), st.integers(0, 255))
def test_a_chronicle_that_was_altered_is_none(at: int, value: int) -> None:
    machine = Machine()
    machine.works()
    data = bytearray(machine.disk)
    at %= len(data)
    if data[at] != value:
        data[at] = value
        with pytest.raises(Invalid):
            from_bytes(bytes(data))


def test_cut_off_or_empty_it_is_none_either() -> None:
    data = to_bytes(Chronicle())
    for length in range(len(data)):
        with pytest.raises(Invalid):
            from_bytes(data[:length])
