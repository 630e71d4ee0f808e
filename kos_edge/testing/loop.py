"""An event loop whose time jumps: what takes an hour of waiting takes no time, and is the same at each run.

    result = run_virtual(scenario())

Nothing sleeps. When no callback is ready the clock moves to the next timer; when there is no timer either,
the program waits for something that cannot come, which is reported as a `Deadlock` with what waits for
what.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")

EPOCH: Final = 1_800_000_000.0
"""Wall-clock seconds at which virtual time begins."""

LONGEST: Final = 30 * 86_400.0
"""Virtual seconds after which a run is given up: a periodic timer would keep a stuck program going for
ever.
"""

OUTSIDE_PATIENCE: Final = 10.0
"""Real seconds to wait for a thread that was announced by `outside`."""


class Deadlock(RuntimeError):
    """Everything waits, and nothing can happen any more."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time. Work given to an executor is done at once, in the loop's own thread."""

    def __init__(self) -> None:
        self._now = 0.0
        self._outside = 0
        super().__init__(_Jumping(self))
        self._clock_resolution = 1e-9  # sums of floats must not leave a timer a hair in the future

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        """Let time pass; for the selector."""
        self._now += seconds

    @property
    def waits_outside(self) -> bool:
        """Whether a thread was announced that this loop has to wait for."""
        return self._outside > 0

    @contextmanager
    def outside(self) -> Iterator[None]:
        """While this is open time stands still and the loop waits for a thread to call it back."""
        self._outside += 1
        try:
            yield
        finally:
            self._outside -= 1

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


class VirtualClock:
    """The clock that goes with the loop: monotonic seconds are its time, the wall clock can be stepped."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, *, wall: float = EPOCH) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._wall = wall - self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    def wall(self) -> float:
        return self._wall + self._loop.time()

    def step_wall(self, seconds: float) -> None:
        """Move the wall clock alone, as NTP or a careless person would."""
        self._wall += seconds


class _Jumping(selectors.DefaultSelector):
    """Looks at what is ready, and moves the clock instead of waiting."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = []
        if len(self.get_map()) > 1:  # more than the loop's own: the test has real sockets or pipes too
            ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self._loop.waits_outside:
            ready = super().select(OUTSIDE_PATIENCE)
            if not ready:
                raise Deadlock(f"a thread outside said nothing for {OUTSIDE_PATIENCE:g} s")
        elif timeout is None:
            raise Deadlock("nothing is left to happen; waiting:\n" + _waiting(self._loop))
        else:
            self._loop.jump(timeout)
            if self._loop.time() > LONGEST:
                raise Deadlock(f"{LONGEST:g} virtual seconds passed; waiting:\n" + _waiting(self._loop))
        return ready


def _waiting(loop: VirtualLoop) -> str:
    return "\n".join(f"  {task.get_coro()}" for task in asyncio.all_tasks(loop)) or "  nobody"


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in virtual time and give back its result. `Deadlock` when it cannot get there."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
