"""Where messages go, and what every carrier of them looks like."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Address:
    """One end of a wire. `carrier` names who carries it; a stream's `connection` tells its connections apart.

    `host` is a numeric IP address, with its zone where it needs one (`fe80::1%eth0`).
    """

    carrier: str
    host: str
    port: int
    connection: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.carrier}://{host}:{self.port}"

    @property
    def origin(self) -> str:
        """What a machine cannot easily vary of its address: IPv4 whole, of IPv6 the /64 that its link gives it."""
        return _origin(self.host) if ":" in self.host else self.host


@lru_cache(maxsize=4_096)
def _origin(host: str) -> str:
    plain = host.partition("%")[0]
    try:
        address = ipaddress.IPv6Address(plain)
    except ValueError:
        return host
    if address.is_link_local:  # one network for everybody on the link, who would share one lot
        return host
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


class Receiver(Protocol):
    """What a carrier calls when something happens. None of these raises."""

    def datagram_received(self, source: Address, data: bytes) -> None: ...

    def connection_opened(self, peer: Address, *, inbound: bool) -> None: ...

    def stream_received(self, peer: Address, data: bytes) -> None: ...

    def connection_lost(self, peer: Address, reason: str) -> None: ...


class DatagramCarrier(Protocol):
    """Carries datagrams: each arrives whole, once, more than once, or not at all."""

    name: str

    @property
    def bound(self) -> Sequence[Address]:
        """Where it can be reached; empty before `start`."""
        ...

    async def start(self, receiver: Receiver) -> None:
        """Begin to listen. `Unavailable` when the port is taken or the address is not ours."""
        ...

    async def resolve(self, target: Address) -> Address:
        """The one form of an address, as answers from there will bear it. `Unavailable` for unknown names."""
        ...

    def send(self, target: Address, data: bytes) -> None:
        """Send now, or lose it: never raises, never waits."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class StreamCarrier(Protocol):
    """Carries connections: bytes arrive in order or the connection is lost, and `connection_lost` says so."""

    name: str

    @property
    def bound(self) -> Sequence[Address]:
        """Where it can be reached; empty before `start`, or when it only calls."""
        ...

    async def start(self, receiver: Receiver) -> None:
        """Begin to listen. `Unavailable` when the port is taken or the address is not ours."""
        ...

    async def connect(self, target: Address) -> Address:
        """Open a connection; its address carries its number. `Unavailable` when nobody answers."""
        ...

    def write(self, peer: Address, data: bytes) -> None:
        """Queue bytes; a connection whose queue overflows is lost."""
        ...

    async def drain(self, peer: Address) -> None:
        """Wait until the queue is short again, or the connection is lost."""
        ...

    def pause(self, peer: Address, paused: bool) -> None:
        """Stop or go on reading: what is not read slows the other side down."""
        ...

    def disconnect(self, peer: Address) -> None:
        """Close after what is queued has been sent; no `connection_lost` is told for it."""
        ...

    async def close(self) -> None: ...


Carrier = DatagramCarrier | StreamCarrier
