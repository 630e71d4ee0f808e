"""The one writer: a thread that runs jobs against the store and commits them in groups.

Whatever was submitted while a commit was under way shares the next one, so one sync pays for all of it. A job's
caller hears back only after the sync.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kos_edge.errors import KosError, Misuse, Unavailable
from kos_edge.store.aside import Aside
from kos_edge.store.database import Damaged
from kos_edge.store.salvage import Rescue
from kos_edge.store.store import Store

Result = TypeVar("Result")

GROUP_LIMIT = 512  # jobs in one transaction: bounds how long the first one waits


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[Store], Any]
    writes: bool
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Writer:
    """Runs jobs on its own thread, or in place when `threaded` is False (simulations: same order every time)."""

    def __init__(self, path: Path | str, *, threaded: bool = True, rescue: Rescue | None = None) -> None:
        self._path = path
        self._threaded = threaded
        self._jobs: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._riders: list[_Job] = []
        self._thread: threading.Thread | None = None
        self._aside = Aside("kos-check")
        self.store: Store = Store(path, rescue)
        self._closed = False

    async def run(self, work: Callable[[Store], Result]) -> Result:
        """Run `work` in a transaction; returns once it is synced. Raises what `work` raised, or Unavailable."""
        return await self._submit(work, writes=True)  # type: ignore[no-any-return]

    async def ride(self, work: Callable[[Store], Result], within: float) -> Result:
        """`run`, in the next transaction that somebody else wants, or in one of its own after `within` seconds.

        For what nobody waits for: on a quiet node a sync costs more than what it writes.
        """
        if self._closed:
            raise Unavailable("the store is closed")
        loop = asyncio.get_running_loop()
        job = _Job(work, True, loop.create_future(), loop)
        self._riders.append(job)
        timer = loop.call_later(within, self._depart)
        try:
            return await job.future  # type: ignore[no-any-return]
        finally:
            timer.cancel()

    async def read(self, work: Callable[[Store], Result]) -> Result:
        """Run `work`, which only reads, between transactions."""
        return await self._submit(work, writes=False)  # type: ignore[no-any-return]

    async def aside(self, work: Callable[[], Result]) -> Result:
        """Run `work`, which takes its time and touches no store, beside the event loop; one at a time, in order."""
        if not self._threaded:
            return work()
        return await self._aside.run(work)

    async def _submit(self, work: Callable[[Store], Any], *, writes: bool) -> Any:
        if self._closed:
            raise Unavailable("the store is closed")
        loop = asyncio.get_running_loop()
        job = _Job(work, writes, loop.create_future(), loop)
        self._put([*(self._boarded() if writes else ()), job])
        return await job.future

    def _boarded(self) -> list[_Job]:
        riders, self._riders = self._riders, []
        return riders

    def _depart(self) -> None:
        """Those that ride have waited long enough."""
        if riders := self._boarded():
            self._put(riders)

    def _put(self, jobs: list[_Job]) -> None:
        if not self._threaded:
            self._finish(self._work(jobs))
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="kos-store", daemon=True)
            self._thread.start()
        self._jobs.put(jobs)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    async def close(self) -> None:
        """Finish what was submitted, then close the file."""
        if self._closed:
            return
        self._closed = True
        self._depart()
        self._aside.close()
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        self.store.close()

    def _serve(self) -> None:
        ending = False
        while not ending:
            group: list[_Job] = []
            item = self._jobs.get()
            while item is not None:
                group += item
                if len(group) >= GROUP_LIMIT or self._jobs.empty():
                    break
                item = self._jobs.get()
            ending = item is None
            if group:
                outcomes = self._work(group)
                try:
                    group[0].loop.call_soon_threadsafe(self._finish, outcomes)
                except RuntimeError:  # the loop is gone: nobody is left to tell
                    return

    def _work(self, group: list[_Job]) -> list[tuple[_Job, object]]:
        """Run a group; what a damaged file keeps from being done is done once more when that is salvaged."""
        outcomes = self._attempt(group)
        hurt = [job for job, outcome in outcomes if isinstance(outcome, Damaged)]
        if not hurt:
            return outcomes
        try:
            if not self.store.salvage():
                return outcomes
        except Exception as error:  # every caller must hear of it
            return [(job, error if job in hurt else outcome) for job, outcome in outcomes]
        return [pair for pair in outcomes if pair[0] not in hurt] + self._attempt(hurt)

    def _attempt(self, group: list[_Job]) -> list[tuple[_Job, object]]:
        outcomes: list[tuple[_Job, object]] = []
        self.store.database.space.look()
        writing = [job for job in group if job.writes]
        if writing:
            try:
                results = self.store.database.transact([self._bind(job) for job in writing])
            except Exception as error:  # every caller of the group must hear that nothing was committed
                results = [error] * len(writing)
            outcomes += zip(writing, results, strict=True)
        for job in group:
            if not job.writes:
                outcomes.append((job, self._try(job)))
        return outcomes

    def _bind(self, job: _Job) -> Callable[[], object]:
        return lambda: job.work(self.store)

    def _try(self, job: _Job) -> object:
        try:
            self.store.database.refresh()
            return job.work(self.store)
        except sqlite3.Error as error:
            return self.store.database.failed(error)
        except Exception as error:  # handed to the caller, whatever it is
            return error

    @staticmethod
    def _finish(outcomes: list[tuple[_Job, object]]) -> None:
        for job, outcome in outcomes:
            if job.future.done():
                continue
            if isinstance(outcome, KosError):
                job.future.set_exception(type(outcome)(outcome.message, hint=outcome.hint))
            elif isinstance(outcome, Exception):
                job.future.set_exception(Misuse(f"a store job failed: {type(outcome).__name__}: {outcome}"))
            else:
                job.future.set_result(outcome)
