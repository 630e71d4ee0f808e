"""What has been said of each kid, record by record, until it makes a whole: a machine.

zeroconf has a record cache too, but it is shared by everything on the link and drops what ends soonest:
whoever floods it with long-lived forged records hides all others. So the few records that matter are kept
here, each kid's apart.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from kos_edge.discovery.sighting import Found, Hint, Said, read_txt
from kos_edge.errors import Invalid

Record = TypeVar("Record")

MOST_ADDRESSES = 16
"""Of one kid, and of one host."""
MOST_SERVICES = 4
"""SRV records of one kid: an old one and a new one, and what a forger adds."""
MOST_OF_A_HOST = 16
"""Kids that share a host's name; each of ours has a host name of its own."""
SAME_TIME = 1.0
"""Seconds within which records replace each other not: one announcement comes in several packets, one for each of the
sender's interfaces (RFC 6762, section 10.2)."""


_HOST_NAME = re.compile(r"(?=.{1,254}$)([A-Za-z0-9_-]{1,63}\.)+")
"""A name that can be asked for again. In DNS a label may hold any bytes, and some do not survive being text."""


@dataclass(frozen=True, slots=True)
class Service:
    """An SRV record (RFC 2782)."""

    host: str
    port: int
    priority: int
    weight: int


@dataclass(frozen=True, slots=True)
class Address:
    """An A or AAAA record: 4 or 16 bytes, and the index of the interface that it came in by, where that is known."""

    packed: bytes
    scope: int | None


@dataclass(slots=True)
class _Speaker:
    said: Said | None = None
    services: dict[Service, float] = field(default_factory=dict)
    """With the time when each was heard, newest last."""


@dataclass(slots=True)
class _Host:
    kids: set[bytes] = field(default_factory=set)
    addresses: dict[Address, float] = field(default_factory=dict)


class Speakers:
    """Records in, Found out. A kid has to be let in (`add`) before anything said of it counts.

    `now` is monotonic, in seconds. `flush` is the cache-flush bit of RFC 6762: what was said before is void.
    """

    def __init__(self) -> None:
        self.loopback = False
        """Whether addresses that mean this machine itself make sense."""
        self._speakers: dict[bytes, _Speaker] = {}
        self._hosts: dict[str, _Host] = {}

    def __contains__(self, kid: bytes) -> bool:
        return kid in self._speakers

    def __len__(self) -> int:
        return len(self._speakers)

    def add(self, kid: bytes) -> None:
        self._speakers.setdefault(kid, _Speaker())

    def forget(self, kid: bytes) -> None:
        speaker = self._speakers.pop(kid, None)
        for service in speaker.services if speaker else ():
            self._leave(service.host, kid)

    def text(self, kid: bytes, text: bytes) -> None:
        """A TXT record; one that is not ours counts for nothing."""
        speaker = self._speakers.get(kid)
        if speaker is not None:
            try:
                speaker.said = read_txt(text)
            except Invalid:
                return

    def service(self, kid: bytes, service: Service, now: float, *, flush: bool) -> None:
        """An SRV record."""
        speaker = self._speakers.get(kid)
        host = self._hosts.get(service.host)
        if (
            speaker is None
            or not _HOST_NAME.fullmatch(service.host)
            or (host is not None and len(host.kids | {kid}) > MOST_OF_A_HOST)
        ):
            return
        before = list(speaker.services)
        _put(speaker.services, service, now, flush=flush, most=MOST_SERVICES)
        self._hosts.setdefault(service.host, _Host()).kids.add(kid)
        hosts = {kept.host for kept in speaker.services}
        for name in {old.host for old in before} - hosts:
            self._leave(name, kid)

    def address(self, host: str, address: Address, now: float, *, flush: bool) -> set[bytes]:
        """An A or AAAA record: the kids that it concerns."""
        known = self._hosts.get(host)
        if known is None or len(address.packed) not in (4, 16):
            return set()
        _put(known.addresses, address, now, flush=flush, most=MOST_ADDRESSES)
        return known.kids

    def host(self, kid: bytes) -> str | None:
        """The host name that was said last, while addresses are missing."""
        speaker = self._speakers.get(kid)
        return next(reversed(speaker.services)).host if speaker and speaker.services else None

    def found(self, kid: bytes) -> Found | None:
        """All that is known of a kid; None while something is missing."""
        speaker = self._speakers.get(kid)
        if speaker is None or speaker.said is None or not speaker.services:
            return None
        said, newest = speaker.said, list(reversed(speaker.services))
        places = [(host, service.port) for service in newest for host in self._hosts_of(service)]
        hints = tuple(Hint(host, port, said.tcp_port) for host, port in dict.fromkeys(places) if port)
        if not hints:
            return None
        first = newest[0]
        return Found(
            kid,
            said.role,
            said.mesh_prefix,
            hints[:MOST_ADDRESSES],
            priority=first.priority,
            weight=first.weight,
        )

    def _hosts_of(self, service: Service) -> list[str]:
        host = self._hosts.get(service.host)
        return usable(host.addresses, loopback=self.loopback) if host else []

    def _leave(self, name: str, kid: bytes) -> None:
        host = self._hosts.get(name)
        if host is not None:
            host.kids.discard(kid)
            if not host.kids:
                del self._hosts[name]


def usable(addresses: Iterable[Address], *, loopback: bool) -> list[str]:
    """Those that one can connect to, as text: IPv4, then IPv6, then what is valid on its link only, with its scope."""
    four, six, link = [], [], []
    for address in sorted(addresses, key=lambda address: address.packed):
        ip = ipaddress.ip_address(address.packed)
        if ip.is_multicast or ip.is_unspecified or (ip.is_loopback and not loopback):
            continue
        if ip.version == 4:
            four.append(str(ip))
        elif not ip.is_link_local:
            six.append(str(ip))
        elif address.scope:
            link.append(f"{ip}%{address.scope}")
    return [*four, *six, *link]


def _put(kept: dict[Record, float], new: Record, now: float, *, flush: bool, most: int) -> None:
    """Put `new` last; without what it replaces, and without the oldest when there are too many."""
    if flush:
        for old in [old for old, heard in kept.items() if now - heard > SAME_TIME]:
            del kept[old]
    kept.pop(new, None)
    kept[new] = now
    while len(kept) > most:
        del kept[next(iter(kept))]
