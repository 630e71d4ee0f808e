"""The start of a node as a machine: eight steps, what became of each, and which mode the next start is in.

What is done in a step is `node.startup`; here is what is said of it, what is remembered over crashes (`chronicle`), and
what follows from that: three starts in a row that failed make the next one a start in safe mode.

A start *fails* when it ends with an error, or is gone without a word, before it has stayed up for STAY_S; *gone* counts
only within one boot of the machine, for a power cut looks the same and says nothing of us. So a plug that is pulled
three times locks nobody out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum

from kos_edge.errors import Misuse

STAY_S = 60.0
"""A start that stayed up for so long was good, whatever ends it later: longer than agents take to open their hardware,
and what crashes later at its work is not mended by leaving it out."""
FAILURES = 3
"""In a row, and the next start is in safe mode: one may be chance, two a coincidence with a power dip."""
ATTEMPTS_KEPT = 5
ORDERS_KEPT = 16
MAX_SAID = 500
"""Characters of what is said of one step."""


class Step(IntEnum):
    """The steps in their order."""

    INTEGRITY = 0
    CONFIGURATION = 1
    IDENTITY = 2
    NETWORK = 3
    AGENTS = 4
    KEYS = 5
    REGISTRATION = 6
    SERVICES = 7

    @property
    def text(self) -> str:
        """As people and tools see it."""
        return self.name.lower()


class Outcome(Enum):
    """What became of a step. `WAITING`: local work goes on, and it completes by itself when it can."""

    RUNNING = "running"
    DONE = "done"
    DEGRADED = "degraded"
    WAITING = "waiting"
    SKIPPED = "skipped"
    FAILED = "failed"

    @property
    def well(self) -> bool:
        """Whether nobody has to look at it."""
        return self in (Outcome.DONE, Outcome.SKIPPED, Outcome.WAITING)

    @property
    def waits(self) -> bool:
        """Whether it will come out by itself."""
        return self is Outcome.WAITING


class Mode(Enum):
    """How much is started. `RECOVERY`: no agents, and the queue still drains. `MINIMAL`: no network."""

    DEFAULT = "default"
    RECOVERY = "recovery"
    MINIMAL = "minimal"

    @property
    def has_agents(self) -> bool:
        return self is not Mode.RECOVERY

    @property
    def has_network(self) -> bool:
        return self is not Mode.MINIMAL


class Ending(Enum):
    """How a start's process ended, by its own last word; NONE: it has not, or could not say."""

    NONE = "none"
    ORDERLY = "orderly"
    AGAIN = "again"
    """In order, for another bootstrap."""
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Mark:
    """What is said of one step; `mend` is what to do about a failure."""

    outcome: Outcome
    seconds: float = 0.0
    said: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody asked for the next start: `cause` says who and why."""

    mode: Mode
    cause: str


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order from afar that was obeyed, for whoever looks later: who, what, when (seconds since 1970, 0 unknown)."""

    name: str
    mode: Mode
    at: int
    raw: bytes = field(repr=False)
    """As it was signed."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start. `settings` stands for what a person can mend it with: configuration, agents' files.

    `boot` is the machine's boot, `at` seconds since 1970 (0: no clock was set), `reason` why it is no default one.
    """

    number: int
    mode: Mode
    cause: str
    reason: str
    version: str
    settings: bytes
    boot: str
    at: int
    marks: tuple[Mark | None, ...] = (None,) * len(Step)
    stayed: bool = False
    ending: Ending = Ending.NONE
    error: str = ""

    @property
    def reached(self) -> Step | None:
        """The step that it was in, or got to last."""
        begun = [step for step in Step if self.marks[step] is not None]
        return begun[-1] if begun else None

    @property
    def in_service(self) -> bool:
        """Whether all steps were gone through."""
        last = self.marks[Step.SERVICES]
        return last is not None and last.outcome is not Outcome.RUNNING and last.outcome is not Outcome.FAILED

    def troubles(self, *, but: tuple[Step, ...] = ()) -> list[str]:
        """What a person should do something about, of all steps `but` these."""
        found = [self.reason] if self.reason else []
        for step, mark in zip(Step, self.marks, strict=True):
            if step not in but and mark is not None and mark.outcome in (Outcome.DEGRADED, Outcome.FAILED):
                mend = f" ({mark.mend})" if mark.mend else ""
                found.append(f"bootstrap, {step.text}: {mark.said}{mend}")
        return found

    def how_it_ended(self, boot: str) -> str:
        """For a person; `boot` is the machine's boot now."""
        step = self.reached
        if self.in_service:
            where = "in service"
        elif step is None:
            where = "before its first step"
        else:
            where = f"in the step {step.text}"
        match self.ending:
            case Ending.ERROR:
                return f"ended {where}: {self.error}"
            case Ending.ORDERLY:
                return "was stopped in order"
            case Ending.AGAIN:
                return "made way for another bootstrap"
        if self.boot != boot:
            return f"ended {where} with the power, or with the machine"
        return f"died {where}, without a word"


@dataclass(frozen=True, slots=True)
class Chronicle:
    """What is remembered: the latest starts, oldest first, failed ones in a row, what is wished, what was ordered."""

    attempts: tuple[Attempt, ...] = ()
    failures: int = 0
    wish: Wish | None = None
    orders: tuple[Ordered, ...] = ()

    @property
    def last(self) -> Attempt | None:
        """The latest start."""
        return self.attempts[-1] if self.attempts else None

    def wishing(self, wish: Wish) -> Chronicle:
        """The next start is to be so."""
        return replace(self, wish=wish)

    def ordered(self, order: Ordered) -> Chronicle:
        """An order was obeyed."""
        return replace(self, orders=(*self.orders, order)[-ORDERS_KEPT:])


def begin(
    chronicle: Chronicle,
    *,
    version: str,
    settings: bytes,
    boot: str,
    at: int,
    counts: bool = True,
    mode: Mode | None = None,
) -> Chronicle:
    """The chronicle with the next start in it, its mode chosen; what was wished is used up.

    `counts`: whether failed starts are counted at all. `mode` is what the command
    line wants, where nobody has wished for something else since.
    """
    last, wish = chronicle.last, chronicle.wish
    failures = _failures(chronicle, boot) if counts else 0
    if last is not None and (last.version, last.settings) != (version, settings):
        failures = min(failures, FAILURES - 1)  # somebody mended something: one try
    if wish is not None and wish.mode is Mode.DEFAULT:
        failures = min(failures, FAILURES - 1)
    cause = "start" if wish is None else wish.cause
    reason = ""
    if wish is not None:
        chosen = wish.mode
    elif mode is not None:
        chosen, cause = mode, "command line"
    elif failures >= FAILURES:
        chosen = Mode.RECOVERY
        bad = next((each for each in reversed(chronicle.attempts) if each.mode is Mode.DEFAULT), None)
        how = "" if bad is None else f"; the last one {bad.how_it_ended(boot)}"
        reason = f"safe mode: {failures} starts in a row failed{how}"
    else:
        chosen = Mode.DEFAULT
    number = 1 if last is None else last.number + 1
    attempt = Attempt(number, chosen, cause, reason[:MAX_SAID], version, settings, boot, at)
    attempts = (*chronicle.attempts, attempt)[-ATTEMPTS_KEPT:]
    return replace(chronicle, attempts=attempts, failures=failures, wish=None)


def _failures(chronicle: Chronicle, boot: str) -> int:
    """Failed starts in a row, the last one judged. Only those in default mode say anything of a default start."""
    last = chronicle.last
    if last is None:
        return 0
    if last.mode is not Mode.DEFAULT:
        return chronicle.failures
    if last.stayed:
        return 0
    gone = last.ending is Ending.NONE and last.boot == boot != ""
    return chronicle.failures + (last.ending is Ending.ERROR or gone)


class Sequence:
    """One start that is under way. `keep` is told of the chronicle whenever it changes; times are monotonic seconds.

    Steps are begun in their order, each when the one before has an outcome. Misuse for any other order.
    """

    def __init__(
        self, chronicle: Chronicle, keep: Callable[[Chronicle], None] = lambda chronicle: None
    ) -> None:
        if chronicle.last is None or chronicle.last.ending is not Ending.NONE:
            raise Misuse("a sequence needs a start that has begun")
        self.chronicle = chronicle
        self._keep = keep
        self._began = 0.0

    @property
    def attempt(self) -> Attempt:
        """This start."""
        last = self.chronicle.last
        assert last is not None
        return last

    @property
    def mode(self) -> Mode:
        return self.attempt.mode

    def mark(self, step: Step) -> Mark | None:
        """What is said of a step; None before it has begun."""
        return self.attempt.marks[step]

    def begin(self, step: Step, now: float) -> None:
        """A step begins; from now on a crash is one in this step."""
        running = [each for each in Step if self._is_running(each)]
        if self.mark(step) is not None or running or (step and self.mark(Step(step - 1)) is None):
            raise Misuse(f"the step {step.text} does not begin now")
        self._began = now
        self._put(step, Mark(Outcome.RUNNING))
        self._keep(self.chronicle)

    def finish(self, step: Step, now: float, outcome: Outcome, said: str = "", mend: str = "") -> None:
        """A step has come out; kept with the beginning of the next one, or at once where it failed or is the last."""
        if not self._is_running(step) or outcome is Outcome.RUNNING:
            raise Misuse(f"the step {step.text} does not run")
        self._put(step, _mark(outcome, now - self._began, said, mend))
        if outcome is Outcome.FAILED or step is Step.SERVICES:
            self._keep(self.chronicle)

    def update(self, step: Step, outcome: Outcome, said: str = "", mend: str = "") -> None:
        """What was waiting, or seemed well, has come out otherwise since."""
        before = self.mark(step)
        if before is None or before.outcome is Outcome.RUNNING or outcome is Outcome.RUNNING:
            raise Misuse(f"the step {step.text} has no outcome yet")
        mark = _mark(outcome, before.seconds, said, mend)
        if mark != before:
            self._put(step, mark)
            if mark.outcome is not before.outcome:
                self._keep(self.chronicle)

    def fall_back(self, reason: str) -> None:
        """Go on in recovery mode; before agents are started."""
        if self.mark(Step.AGENTS) is not None:
            raise Misuse("agents have been started already")
        if self.mode is not Mode.RECOVERY:
            self._change(mode=Mode.RECOVERY, reason=reason[:MAX_SAID])

    def stayed(self) -> None:
        """It is in service for STAY_S now: failures before it are history."""
        if self.mode is Mode.DEFAULT:
            self.chronicle = replace(self.chronicle, failures=0)
        self._change(stayed=True)
        self._keep(self.chronicle)

    def wish(self, wish: Wish) -> None:
        """The next start is to be so."""
        self.chronicle = self.chronicle.wishing(wish)
        self._keep(self.chronicle)

    def ordered(self, order: Ordered) -> None:
        """An order from afar is obeyed."""
        self.chronicle = self.chronicle.ordered(order)
        self._keep(self.chronicle)

    def end(self, ending: Ending, error: str = "") -> None:
        """The last word of this start."""
        running = next((step for step in Step if self._is_running(step)), None)
        if running is not None:
            self._put(running, _mark(Outcome.FAILED, 0.0, error or "stopped meanwhile", ""))
        self._change(ending=ending, error=error[:MAX_SAID])
        self._keep(self.chronicle)

    def troubles(self) -> list[str]:
        """What a person should do something about."""
        return self.attempt.troubles()

    def _is_running(self, step: Step) -> bool:
        mark = self.mark(step)
        return mark is not None and mark.outcome is Outcome.RUNNING

    def _put(self, step: Step, mark: Mark) -> None:
        marks = list(self.attempt.marks)
        marks[step] = mark
        self._change(marks=tuple(marks))

    def _change(self, **values: object) -> None:
        attempt = replace(self.attempt, **values)  # type: ignore[arg-type]
        self.chronicle = replace(self.chronicle, attempts=(*self.chronicle.attempts[:-1], attempt))


def _mark(outcome: Outcome, seconds: float, said: str, mend: str) -> Mark:
    return Mark(outcome, max(0.0, seconds), said[:MAX_SAID], mend[:MAX_SAID])
