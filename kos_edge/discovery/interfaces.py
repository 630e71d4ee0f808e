"""Which network interfaces to speak on, and word of their coming and going."""

from __future__ import annotations

import asyncio
import fnmatch
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import ifaddr

LOOPBACK = "lo"
VIRTUAL = (
    *("docker*", "br-*", "veth*", "cni*", "podman*", "flannel*", "cali*"),
    *("virbr*", "vnet*", "tap*", "lxc*", "lxd*"),
)
"""Interfaces of containers and virtual machines: their addresses mean nothing to a neighbour."""
SETTLE = 0.2
"""Seconds to let a change settle: one `ip link set up` is announced in several messages."""

_GROUPS = 0x1 | 0x10 | 0x100
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR of rtnetlink(7)."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One that is up and has addresses; an IPv6 address stands without its scope."""

    name: str
    index: int
    ipv4: tuple[str, ...]
    ipv6: tuple[str, ...]


def present() -> list[Interface]:
    """The interfaces of this machine that have an address."""
    found = []
    for adapter in ifaddr.get_adapters():
        ipv4 = tuple(ip.ip for ip in adapter.ips if isinstance(ip.ip, str))
        ipv6 = tuple(ip.ip[0] for ip in adapter.ips if not isinstance(ip.ip, str))
        if adapter.index is not None and (ipv4 or ipv6):
            found.append(Interface(adapter.name, adapter.index, ipv4, ipv6))
    return found


def chosen(interfaces: Iterable[Interface], named: Sequence[str] = ()) -> list[Interface]:
    """Those to speak on: the named ones (patterns like `eth*`), or all that lead out of this machine.

    Where none leads out, the loopback, so that nodes on one machine find each other even with the cable
    pulled.
    """
    there = list(interfaces)
    if named:
        return [interface for interface in there if _matches(interface, named)]
    out = [interface for interface in there if not _matches(interface, (LOOPBACK, *VIRTUAL))]
    return out or [interface for interface in there if interface.name == LOOPBACK]


def _matches(interface: Interface, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(interface.name, pattern) for pattern in patterns)


class LinkWatch:
    """Calls `changed` soon after links or addresses of this machine have changed; costs nothing in between.

    Where the kernel tells nobody (`works` is then False), the caller has to look from time to time.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
            self._socket.bind((0, _GROUPS))
        except (OSError, AttributeError):  # no netlink: not Linux
            self.close()
        else:
            self._loop.add_reader(self._socket, self._heard)

    @property
    def works(self) -> bool:
        return self._socket is not None

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._socket:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _heard(self) -> None:
        """What has changed does not matter: the caller looks at everything anew."""
        assert self._socket is not None
        try:
            while self._socket.recv(65_536):
                pass
        except OSError:
            # Read empty, or the kernel dropped messages (ENOBUFS): either way something has changed.
            pass
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(SETTLE, self._changed)
