"""Finds callbacks that hold up an event loop.

What is measured is the time a callback kept its loop, less the time that the scheduler of the machine let its
thread wait for a processor: so a busy machine fails no test, and a sleep, a sync to disk or a long
computation does.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

LIMIT = 0.25
"""Seconds a callback may keep its loop. Daemons aim at 0.05; the rest is for garbage collection and first
imports on a slow machine, so that whoever fails has really blocked."""


@dataclass(slots=True)
class Held:
    """The longest hold-up during one test, in seconds, and by what."""

    longest: float = 0.0
    by: str = ""

    def report(self) -> str:
        return (
            f"the event loop was blocked for {self.longest:.2f} s (at most {LIMIT} s) by {self.by}; "
            f"do slow work in a thread, or mark the test may_block(reason)"
        )


class _Watch(threading.local):
    """What one thread's loop is measured into, and how long that thread has waited for a processor."""

    held: Held | None = None
    starved: float = 0.0


_watch = _Watch()


@contextmanager
def watching() -> Iterator[None]:
    """Let every callback of every asyncio loop be timed."""
    plain = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        held = _watch.held
        if held is None:
            plain(handle)
            return
        start = time.perf_counter()
        try:
            plain(handle)
        finally:
            took = time.perf_counter() - start
            if took > LIMIT:
                _note(held, handle, took)

    asyncio.Handle._run = timed  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        asyncio.Handle._run = plain  # type: ignore[method-assign]


@contextmanager
def measure() -> Iterator[Held]:
    """Collect hold-ups of loops that run in this thread."""
    _watch.held, _watch.starved = Held(), _starved()
    try:
        yield _watch.held
    finally:
        _watch.held = None


def _note(held: Held, handle: asyncio.Handle, took: float) -> None:
    starved = _starved()
    took -= starved - _watch.starved
    _watch.starved = starved
    if took > max(LIMIT, held.longest):
        held.longest, held.by = took, repr(handle)[:300]


def _starved() -> float:
    """Seconds that this thread has waited for a processor; 0 where the kernel does not count it."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
