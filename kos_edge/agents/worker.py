"""Where an agent's ordinary functions run: one at a time, on one thread of its own.

Two threads on one I2C bus garble each other's transfers; so the functions of one agent take turns, and since
every agent has its own thread, one that hangs holds up nobody else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from kos_edge.clock import Clock
from kos_edge.errors import Misuse

T = TypeVar("T")


class Worker(Protocol):
    """Runs ordinary functions one at a time, in the order in which they were handed in."""

    async def run(self, label: str, function: Callable[[], T]) -> T:
        """Wait for this function's turn, run it and give its result or raise what it raised."""
        ...

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """From inside a running function: have the event loop do `work`, and wait for it."""
        ...

    def busy(self) -> tuple[str, float] | None:
        """What is running and since when (monotonic seconds), if anything is."""
        ...

    async def close(self, within: float) -> bool:
        """No further functions. False when the one that runs did not end `within` so many seconds."""
        ...


@dataclass(frozen=True, slots=True)
class _Job:
    label: str
    function: Callable[[], Any]
    result: Future[Any]


class ThreadWorker:
    """The worker of a real node.

    Its thread is a daemon: a function that never returns cannot hold up the exit.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._running: tuple[str, float] | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Future[None] | None = None
        self._closed = False

    async def run(self, label: str, function: Callable[[], T]) -> T:
        if self._closed:
            raise Misuse(f"agent {self._name} has stopped")
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._ended = self._loop.create_future()
            self._thread = threading.Thread(target=self._work, name=f"agent {self._name}", daemon=True)
            self._thread.start()
        result: Future[T] = Future()
        self._jobs.put(_Job(label, function, result))
        return await asyncio.wrap_future(result)

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        if threading.current_thread() is not self._thread or self._loop is None:
            work.close()
            raise Misuse(
                "agent.sync is for ordinary functions", hint="in an `async def`, await the agent itself"
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def busy(self) -> tuple[str, float] | None:
        return self._running

    async def close(self, within: float) -> bool:
        self._closed = True
        if self._thread is None or self._ended is None:
            return True
        self._jobs.put(None)
        await asyncio.wait([self._ended], timeout=within)
        if not self._ended.done():
            return False
        self._thread.join()
        return True

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.result.set_running_or_notify_cancel():
                continue
            self._running = (job.label, self._clock.monotonic())
            try:
                value = job.function()
            except StopIteration as error:  # which no future can carry
                self._running = None
                job.result.set_exception(RuntimeError(f"StopIteration: {error}"))
            except BaseException as error:  # a SystemExit in an agent ends that function, not its thread
                self._running = None
                job.result.set_exception(error)
            else:
                self._running = None
                job.result.set_result(value)
            del job
        self._tell_end()

    def _tell_end(self) -> None:
        loop, ended = self._loop, self._ended
        if loop is not None and ended is not None and not loop.is_closed():
            loop.call_soon_threadsafe(_settle, ended)


def _settle(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
