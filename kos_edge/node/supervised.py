"""Word to the service manager that started us: sd_notify(3), a datagram to a socket that it names.

Its watchdog is fed only while the daemon makes progress: the event loop runs, which carries the network, and the
writer's thread answers, which carries the queue. What hangs is then started anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping

from kos_edge.errors import KosError
from kos_edge.said import Said

FEEDS = 3
"""In one watchdog interval: one that is late by half of it is no reason to be killed."""

log = logging.getLogger(__name__)


class ServiceManager:
    """The one that started this process; where none did, or it wants to hear nothing, all of it does nothing."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog_s = _watchdog_s(environment) if self._address else None
        """Seconds after the last sign of life until it ends us; None where it does not watch."""

    @property
    def listens(self) -> bool:
        """Whether there is one, which starts this process again when it ends."""
        return bool(self._address)

    def say(self, *words: str) -> None:
        """Send it assignments such as `READY=1`; a manager that is gone is no fault of ours."""
        if not self._address:
            return
        name = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            ) as wire:
                wire.sendto("\n".join(words).encode(), name)
        except OSError as error:
            log.debug("the service manager does not listen: %s", error)

    async def feed(self, alive: Callable[[], Awaitable[object]]) -> None:
        """Feed its watchdog, until cancelled, each time after `alive` has returned in time."""
        if self.watchdog_s is None:
            return
        pause, silent = self.watchdog_s / FEEDS, False
        while True:
            try:
                async with asyncio.timeout(pause):
                    await alive()
            except (KosError, TimeoutError) as error:
                if not silent:
                    log.error(
                        "no sign of life for the service manager: %s",
                        error or f"nothing within {pause:g} s",
                        extra=Said.NO_PROGRESS.of(),
                    )
                silent = True
            else:
                silent = False
                self.say("WATCHDOG=1")
            await asyncio.sleep(pause)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """As sd_watchdog_enabled(3) reads it; meant for this process, or it is not meant."""
    text, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    meant = not pid or pid == str(os.getpid())
    return int(text) / 1e6 if text.isdigit() and int(text) > 0 and meant else None
