"""Datagrams over UDP, IPv4 and IPv6.

The socket is read directly, a batch for each wake-up, because one callback a datagram costs as much as
opening it. An answer leaves from the address that its question came to: on a machine with several, the
routing table alone would choose another, and no firewall lets that one back in.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from kos_edge.errors import Unavailable
from kos_edge.system import HAS_ANCILLARY_DATA
from kos_edge.transport.address import Address, Receiver

BATCH: Final = 64
"""Datagrams read before other callbacks get their turn: about 3 ms of work on a Pi Zero 2 W."""

LONGEST: Final = 2_048
"""Bytes read of one datagram; ours have at most 1,280 and a longer one is cut, and so is no message."""

BUFFER: Final = 1 << 20
"""Bytes asked of the kernel for what waits to be read: 1,000 datagrams, one courier's window."""

MAX_PEERS: Final = 4_096
"""Peers whose address is kept ready; after so many the memory begins anew."""

ANY: Final = (("0.0.0.0", 5683), ("::", 5683))
"""Everywhere, on CoAP's port (RFC 7252 section 12.6)."""

# <linux/in.h> and <linux/ipv6.h>; Python's socket module does not name the first before 3.14.
_IP_PKTINFO: Final = 8
_TRUNCATED: Final = int(
    getattr(socket, "MSG_TRUNC", 0)
)  # as a flag of its enum it would cost more than the read
_SPACE: Final = socket.CMSG_SPACE(20) if HAS_ANCILLARY_DATA else 0

_WILDCARDS: Final = ("0.0.0.0", "::")

_Ancillary = list[tuple[int, int, bytes]]


class _Route(NamedTuple):
    """How an address is reached: the socket, and the control messages that choose where it leaves from."""

    opened: socket.socket
    sockaddr: tuple[Any, ...]
    arrived: _Ancillary
    leaving: _Ancillary


class UdpCarrier:
    """Datagrams through one socket for each local address of `binds`.

    Port 0 takes any free port, the same for all. A wildcard address whose family the machine does not have is
    left out, as long as one is there.
    """

    def __init__(self, binds: Sequence[tuple[str, int]] = ANY, *, name: str = "udp") -> None:
        self.name = name
        self.bound: list[Address] = []
        self._binds = tuple(binds)
        self._sockets: dict[int, list[socket.socket]] = {}
        self._addresses: dict[tuple[Any, ...], Address] = {}
        self._routes: dict[Address, _Route] = {}
        self._receiver: Receiver | None = None

    async def start(self, receiver: Receiver) -> None:
        """Bind and begin to read. `Unavailable` when a port is taken or an address is not ours."""
        loop = asyncio.get_running_loop()
        self._receiver = receiver
        port, missing = 0, None
        for host, wanted in self._binds:
            try:
                opened = _bind(host, wanted or port)
            except OSError as error:
                if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL) and host in _WILDCARDS:
                    missing = error
                    continue
                await self.close()
                raise Unavailable(
                    f"cannot listen on {host} port {wanted} for UDP: {error.strerror}",
                    hint="another program may have the port; choose one with --listen ADDR:PORT",
                ) from None
            self._sockets.setdefault(opened.family, []).append(opened)
            port = opened.getsockname()[1]
            self.bound.append(Address(self.name, host, port))
            loop.add_reader(opened.fileno(), self._readable, opened)
        if not self.bound:
            raise Unavailable(f"this machine has no address to listen on for UDP: {missing}")

    async def resolve(self, target: Address) -> Address:
        """The numeric address of a host. `Unavailable` when its name is unknown, or its family not bound."""
        numeric = _numeric(target.host)
        if numeric is None:
            loop = asyncio.get_running_loop()
            try:
                found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM)
            except (OSError, UnicodeError) as error:
                reason = getattr(error, "strerror", None) or "not a host name"
                raise Unavailable(f"cannot find {target.host!r}: {reason}") from None
            fitting = [str(entry[4][0]) for entry in found if entry[0] in self._sockets]
            numeric = _numeric(fitting[0]) if fitting else None
        if numeric is None or _family(numeric) not in self._sockets:
            raise Unavailable(f"no socket here reaches {target.host!r}")
        return Address(self.name, numeric, target.port)

    def send(self, target: Address, data: bytes) -> None:
        """Send, or lose it when the socket's buffer is full or nothing leads there."""
        route = self._routes.get(target)
        try:
            if route is None:
                route = self._route(target)
            if route.leaving:
                route.opened.sendmsg((data,), route.leaving, 0, route.sockaddr)
            else:
                route.opened.sendto(data, route.sockaddr)
        except (OSError, ValueError, KeyError):
            # Lost like any datagram; what has changed about the interfaces is found out at the next one.
            self._routes.pop(target, None)

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        for opened in (opened for family in self._sockets.values() for opened in family):
            loop.remove_reader(opened.fileno())
            opened.close()
        self._sockets.clear()
        self._routes.clear()
        self._addresses.clear()
        self.bound.clear()

    def _readable(self, opened: socket.socket) -> None:
        assert self._receiver is not None
        for _ in range(BATCH):
            try:
                data, arrived, flags, sockaddr = opened.recvmsg(LONGEST, _SPACE)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of a datagram sent before; nothing was read
            if flags & _TRUNCATED:
                continue
            source = self._addresses.get(sockaddr) or self._remember(sockaddr)
            route = self._routes.get(source)
            if route is None or route.arrived != arrived:
                self._routes[source] = _Route(opened, sockaddr, arrived, _from_there(arrived))
            self._receiver.datagram_received(source, data)
            if opened.fileno() < 0:
                return

    def _remember(self, sockaddr: tuple[Any, ...]) -> Address:
        if len(self._addresses) >= MAX_PEERS:
            self._addresses.clear()
            self._routes.clear()
        host, port = sockaddr[0], sockaddr[1]
        if len(sockaddr) == 4 and sockaddr[3] and "%" not in host:
            host = f"{host}%{sockaddr[3]}"
        source = self._addresses[sockaddr] = Address(self.name, _numeric(host) or host, port)
        return source

    def _route(self, target: Address) -> _Route:
        family = _family(target.host)
        sockaddr: tuple[Any, ...] = (target.host, target.port)
        if family == socket.AF_INET6:
            host, _, zone = target.host.partition("%")
            sockaddr = (host, target.port, 0, _zone(zone))
        route = _Route(self._sockets[family][0], sockaddr, [], [])
        if len(self._routes) >= MAX_PEERS:
            self._routes.clear()
        self._routes[target] = route
        return route


def _bind(host: str, port: int) -> socket.socket:
    """A bound socket; `OSError` when that cannot be had."""
    family = _family(host)
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        anywhere = host in _WILDCARDS
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, anywhere)
            plain, _, zone = host.partition("%")
            opened.bind((plain, port, 0, _zone(zone)))
        else:
            opened.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, anywhere)
            opened.bind((host, port))
    except OSError:
        opened.close()
        raise
    return opened


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _numeric(host: str) -> str | None:
    """The one way to write a numeric address, its zone by name; None for what is no numeric address."""
    plain, _, zone = host.partition("%")
    try:
        address = ipaddress.ip_address(plain)
        return f"{address}%{socket.if_indextoname(_zone(zone))}" if zone else str(address)
    except (ValueError, OSError):
        return None


def _zone(zone: str) -> int:
    """The number of a link-local address's interface, which may be given by name or number."""
    return int(zone) if zone.isdigit() else socket.if_nametoindex(zone) if zone else 0


def _from_there(ancillary: list[tuple[int, int, bytes]]) -> _Ancillary:
    """The control message that makes an answer leave from where its question arrived."""
    for level, kind, data in ancillary:
        # The interface is left to the routing table (0), save for link-local addresses, which it does not
        # know.
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and len(data) == 12:
            return [(level, kind, bytes(4) + data[4:8] + bytes(4))]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(data) == 20:
            local = data if data[:2] == b"\xfe\x80" else data[:16] + bytes(4)
            return [(level, kind, local)]
    return []
