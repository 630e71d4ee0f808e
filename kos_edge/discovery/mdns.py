"""Multicast DNS (RFC 6762): being found, and finding others, on every interface that comes and goes.

It never stops the daemon: when port 5353 cannot be had, or there is no interface, that is an event, and it is
tried again.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

from zeroconf import Error, IPVersion, ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from kos_edge.discovery import interfaces
from kos_edge.discovery.browser import Browser
from kos_edge.discovery.interfaces import LOOPBACK, Interface, LinkWatch
from kos_edge.discovery.sighting import SERVICE, Advertisement, Event, Trouble, Working
from kos_edge.discovery.sightings import LIMIT, Sightings

RETRY = (1.0, 60.0)
"""Seconds until the first new attempt, and at most; they double. A link that changes ends the wait."""
LOOK = 5.0
"""Seconds between looks at the interfaces where the kernel does not tell of changes."""
CALM = 1.0
"""Seconds between two reactions to changes: a flapping link must not fill the others with announcements."""
MOST_ADDRESSES = 16
"""To announce: what others would remember of us."""


class Mdns:
    """Says `emit(event)` in the event loop for whoever is found or lost, and when it works or does not.

    `named`: interfaces to speak on, as names or patterns; without any, all that lead out of this machine.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        *,
        advertisement: Advertisement | None = None,
        named: Sequence[str] = (),
        limit: int = LIMIT,
    ) -> None:
        self._emit = emit
        self._advertisement = advertisement
        self._named = tuple(named)
        self._sightings = Sightings(limit)
        self._changed = asyncio.Event()
        self._said: Event | None = None
        self._wait = RETRY[0]

    async def run(self) -> None:
        """Until cancelled; then says goodbye to the links."""
        watch = LinkWatch(self._changed.set)
        try:
            while True:
                try:
                    await self._serve(look=None if watch.works else LOOK)
                except (OSError, RuntimeError, Error) as error:
                    self._say(_trouble(error))
                await self._change(self._wait)
                self._wait = min(2 * self._wait, RETRY[1])
        finally:
            watch.close()

    def advertise(self, advertisement: Advertisement | None) -> None:
        """Let others know this from now on; None: nothing."""
        self._advertisement = advertisement
        self._changed.set()

    def pin(self, kid: bytes) -> None:
        """This kid has proved its key: it is not forgotten in favour of new names."""
        self._sightings.pin(kid)

    async def _serve(self, *, look: float | None) -> NoReturn:
        """On the interfaces there are, until something goes wrong, which is raised."""
        self._changed.clear()
        links = self._links()
        link = _Link(links, self._sightings, self._emit)
        try:
            await link.open(links, self._advertisement)
            self._wait = RETRY[0]
            while True:
                self._say(Working(tuple(interface.name for interface in links)))
                await self._change(look)
                told = self._changed.is_set()
                self._changed.clear()
                again = self._links()
                if told or again != links:
                    await link.update(again, self._advertisement)
                links = again
                await asyncio.sleep(CALM)
        finally:
            await link.close()

    def _links(self) -> list[Interface]:
        found = interfaces.chosen(interfaces.present(), self._named)
        if not found:
            raise OSError(errno.ENODEV, ", ".join(self._named))
        return found

    async def _change(self, seconds: float | None) -> None:
        """Until something has changed, or the time is over."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def _say(self, event: Event) -> None:
        if event != self._said:
            self._said = event
            self._emit(event)


class _Link:
    """zeroconf's sockets on a set of interfaces, our browser on them, and our announcement."""

    def __init__(
        self, links: Sequence[Interface], sightings: Sightings, emit: Callable[[Event], None]
    ) -> None:
        self._zeroconf = AsyncZeroconf(interfaces=_choice(links), ip_version=_version(links))
        self._browser = Browser(self._zeroconf.zeroconf, sightings, emit)
        self._announced: ServiceInfo | None = None
        self._announcing: asyncio.Future[object] | None = None

    async def open(self, links: Sequence[Interface], advertisement: Advertisement | None) -> None:
        await self._zeroconf.zeroconf.async_wait_for_start()
        await self._speak(links, advertisement)

    async def update(self, links: Sequence[Interface], advertisement: Advertisement | None) -> None:
        """Links, addresses or the announcement have changed: follow, and say and ask everything again.

        The announcement first: a new interface is told at once what is registered, and that must not be old.
        """
        await self._speak(links, advertisement)
        await self._zeroconf.async_update_interfaces(_choice(links), _version(links))

    async def close(self) -> None:
        self._browser.close()
        self._drop_announcing()
        await self._zeroconf.async_close()

    async def _speak(self, links: Sequence[Interface], advertisement: Advertisement | None) -> None:
        await self._announce(_service(advertisement, links) if advertisement else None)
        own = advertisement.kid if advertisement else None
        self._browser.start(own=own, loopback=any(interface.name == LOOPBACK for interface in links))

    async def _announce(self, service: ServiceInfo | None) -> None:
        """Say it at once, and twice more within a second; zeroconf does that in a task of its own.

        The probe for a unique name is left out (`cooperating_responders`): the name is the hash of a key, and
        the probe takes a second.
        """
        self._drop_announcing()
        before, self._announced = self._announced, service
        if service and before:
            said: Awaitable[object] = await self._zeroconf.async_update_service(service)
        elif service:
            said = await self._zeroconf.async_register_service(service, cooperating_responders=True)
        elif before:
            said = await self._zeroconf.async_unregister_service(before)
        else:
            return
        self._announcing = asyncio.ensure_future(said)

    def _drop_announcing(self) -> None:
        if self._announcing:
            self._announcing.cancel()
            self._announcing = None


def _choice(links: Sequence[Interface]) -> list[str | int | tuple[tuple[str, int, int], int]]:
    """As zeroconf wants it: one IPv4 address of each interface, and for IPv6 the interface's index."""
    four = [interface.ipv4[0] for interface in links if interface.ipv4]
    # The kernel has no IPv6 multicast on the loopback.
    six = [interface.index for interface in links if interface.ipv6 and interface.name != LOOPBACK]
    return [*four, *six]


def _version(links: Sequence[Interface]) -> IPVersion:
    choice = _choice(links)
    four = any(isinstance(link, str) for link in choice)
    six = any(isinstance(link, int) for link in choice)
    return IPVersion.All if four and six else IPVersion.V6Only if six else IPVersion.V4Only


def _service(advertisement: Advertisement, links: Sequence[Interface]) -> ServiceInfo:
    hosts = [host for interface in links for host in (*interface.ipv4, *interface.ipv6)]
    families = ((socket.AF_INET6 if ":" in host else socket.AF_INET, host) for host in hosts[:MOST_ADDRESSES])
    return ServiceInfo(
        SERVICE,
        advertisement.instance,
        port=advertisement.port,
        priority=advertisement.priority,
        weight=advertisement.weight,
        properties=advertisement.txt,
        server=advertisement.host,
        addresses=[socket.inet_pton(family, host) for family, host in families],
    )


def _trouble(error: Exception) -> Trouble:
    """What went wrong, in words."""
    match error:
        case OSError(errno=errno.EADDRINUSE):
            return Trouble(
                "port 5353 of multicast DNS is held by a program that does not share it",
                "if that is Avahi, set disallow-other-stacks=no in avahi-daemon.conf",
            )
        case OSError(errno=errno.ENODEV, strerror=named) if named:
            return Trouble(f"no interface called {named} has an address", "ip address shows those there are")
        case OSError(errno=errno.ENODEV):
            return Trouble("no network interface has an address", "peers can be given by hand with --peer")
        case OSError(errno=errno.EACCES | errno.EPERM):
            return Trouble("the system does not let us use multicast DNS", "peers can be given with --peer")
        case _:
            return Trouble(f"multicast DNS does not work: {error}", "peers can be given by hand with --peer")
