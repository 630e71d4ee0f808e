"""Whoever has no key, on the network in memory: sends any bytes from any address, and counts what comes back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kos_edge.bootstrap.carriage import MESSAGE_1_PREFIX
from kos_edge.bootstrap.credential import kccs
from kos_edge.bootstrap.edhoc import Initiator
from kos_edge.klp.identity import KeyPair
from kos_edge.transport.address import Address
from kos_edge.transport.coap import URI_PATH, Options
from kos_edge.transport.memory import MemoryDatagrams, Network

KEY = KeyPair.from_seed(b"\x66" * 32)


@dataclass
class Stranger:
    """One address. `sent` and `got` are bytes of datagrams, `answers` the last few of them."""

    network: Network
    host: str
    sent: int = 0
    got: int = 0
    answers: list[bytes] = field(default_factory=list)
    wire: MemoryDatagrams = field(init=False)

    async def start(self) -> Stranger:
        self.wire = self.network.host(self.host).datagrams()
        await self.wire.start(self)
        return self

    def send(self, target: Address, data: bytes) -> None:
        self.sent += len(data)
        self.wire.send(target, data)

    async def close(self) -> None:
        await self.wire.close()

    # What the carrier calls.

    def datagram_received(self, source: Address, data: bytes) -> None:
        self.got += len(data)
        self.answers = [*self.answers[-3:], data]

    def connection_opened(self, peer: Address, *, inbound: bool) -> None:
        raise AssertionError("a datagram carrier opens no connections")

    def stream_received(self, peer: Address, data: bytes) -> None:
        raise AssertionError("a datagram carrier has no streams")

    def connection_lost(self, peer: Address, reason: str) -> None:
        raise AssertionError("a datagram carrier loses no connections")


@dataclass
class Knocker:
    """Connections to one listener, and what came over each; `write` sends."""

    network: Network
    host: str
    got: Counter[Address] = field(default_factory=Counter)
    lost: set[Address] = field(default_factory=set)

    async def start(self) -> Knocker:
        self.wire = self.network.host(self.host).streams(None)
        await self.wire.start(self)
        return self

    async def connect(self, target: Address) -> Address:
        return await self.wire.connect(target)

    def write(self, peer: Address, data: bytes) -> None:
        self.wire.write(peer, data)

    # What the carrier calls.

    def datagram_received(self, source: Address, data: bytes) -> None:
        raise AssertionError("a stream carrier has no datagrams")

    def connection_opened(self, peer: Address, *, inbound: bool) -> None:
        self.got[peer] += 0

    def stream_received(self, peer: Address, data: bytes) -> None:
        self.got[peer] += len(data)

    def connection_lost(self, peer: Address, reason: str) -> None:
        self.lost.add(peer)


def host(number: int) -> str:
    """One of sixteen million addresses that nobody else has here."""
    return f"11.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def path_options(path: str) -> Options:
    return tuple((URI_PATH, part.encode()) for part in path[1:].split("/")) if path != "/" else ()


def hello(seed: int, length: int = 255) -> bytes:
    """The payload of a sound first request, which nobody will go on with."""
    chance = lambda size: (seed.to_bytes(8, "big") * 8)[:size]  # noqa: E731
    initiator = Initiator(KEY, kccs(KEY.public), c_i=b"\x01", random=chance)
    return MESSAGE_1_PREFIX + initiator.message_1(length=length)
