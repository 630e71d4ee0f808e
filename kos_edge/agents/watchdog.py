"""Who holds up the event loop: a thread of its own looks, so that even an endless loop is named."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from types import FrameType

log = logging.getLogger("kos_edge.agents")

LOOK_EVERY = 1.0
"""Seconds between two looks; one wake-up a second does not show in an idle machine's processor time."""

TOO_LONG = 0.5
"""Seconds after which a loop that does not answer counts as blocked. Peers retransmit after two."""

TASK_PREFIX = "agent "
"""Tasks of agents are named `agent NAME: function`, which is how the one to blame is found."""


class Watchdog:
    """Asks the loop for a sign of life and, when none comes, tells which agent's coroutine is running.

    `blame` gets the task's name and the place; it is called from the watchdog's thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, blame: Callable[[str, str], None]) -> None:
        self._loop = loop
        self._blame = blame
        self._loop_thread = threading.get_ident()
        self._alive = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin looking."""
        self._thread.start()

    def stop(self) -> None:
        """End looking."""
        self._stop.set()
        self._alive.set()
        self._thread.join()

    def look(self, patience: float = TOO_LONG) -> bool:
        """Whether the loop answers within `patience` seconds; if not, it is told whose coroutine runs."""
        self._alive.clear()
        if self._stop.is_set():
            return True
        self._loop.call_soon_threadsafe(self._alive.set)
        if self._alive.wait(patience) or self._stop.is_set():
            return True
        task = asyncio.current_task(self._loop)
        self._blame(task.get_name() if task is not None else "", self._place())
        return False

    def _work(self) -> None:
        while not self._stop.wait(LOOK_EVERY):
            try:
                answered = self.look()
            except RuntimeError:  # the loop is closed
                return
            if not answered:
                while not self._alive.wait(LOOK_EVERY) and not self._stop.is_set():
                    pass

    def _place(self) -> str:
        frame: FrameType | None = sys._current_frames().get(self._loop_thread)
        if frame is None:
            return "an unknown place"
        return f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.f_lineno} in {frame.f_code.co_name}"
