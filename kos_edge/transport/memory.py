"""A network in memory, with faults by seed: the same interface as the real carriers, the same run every time.

    network = Network(seed=7, faults=Faults(loss=0.1, delay=0.02))
    a, b = network.host("10.0.0.1"), network.host("10.0.0.2")
    carriers = [a.datagrams(), a.streams()]

Everything happens by timers of the running event loop; with a loop in virtual time nothing waits.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from kos_edge.errors import Unavailable
from kos_edge.transport.address import Address, Receiver
from kos_edge.transport.faults import HEADERS, QUEUE, TICK, USER_TIMEOUT, Faults, Traffic
from kos_edge.transport.memory_stream import Pipe

PORT: Final = 5683
"""CoAP's own, where a host does not say another."""

BATCH: Final = 64
"""Datagrams delivered before other callbacks get their turn, as a real socket would."""


class Network:
    """All hosts and what lies between them. `faults` may be changed at any time, for all or for one pair.

    `tap` sees every datagram that is sent; `watch` everything, by name: send, lost, come, and write and read of
    streams.
    """

    def __init__(self, *, seed: int = 0, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.traffic = Traffic()
        self.tap: Callable[[Address, Address, bytes], None] | None = None
        self.watch: Callable[[str, Address, Address, bytes], None] | None = None
        self._chance = random.Random(seed)
        self._between: dict[frozenset[str], Faults] = {}
        self._cut: set[frozenset[str]] = set()
        self._datagrams: dict[tuple[str, int], MemoryDatagrams] = {}
        self._streams: dict[tuple[str, int], MemoryStreams] = {}
        self._pipes: dict[Pipe, None] = {}  # in the order of their opening, at each run the same
        self._numbers = itertools.count(1)
        self._last: dict[tuple[str, str], float] = {}
        self._busy: dict[tuple[str, str], float] = {}
        self._flying: list[tuple[float, int, Address, Address, bytes]] = []
        self._landing: asyncio.TimerHandle | None = None

    def host(self, name: str) -> Host:
        """A machine on this network; its name stands where an IP address would."""
        return Host(self, name)

    def set_faults(self, a: str, b: str, faults: Faults | None) -> None:
        """Faults for one pair of hosts; None gives back those of the network."""
        if faults is None:
            self._between.pop(frozenset((a, b)), None)
        else:
            self._between[frozenset((a, b))] = faults

    def partition(self, a: str, b: str) -> None:
        """Cut the wire between two hosts; streams over it are lost after 5 s."""
        self._cut.add(frozenset((a, b)))
        for pipe in list(self._pipes):
            pipe.wire_changed()

    def mend(self, a: str, b: str) -> None:
        """Mend the wire between two hosts."""
        self._cut.discard(frozenset((a, b)))
        for pipe in list(self._pipes):
            pipe.wire_changed()

    def heal(self) -> None:
        """Mend all wires."""
        self._cut.clear()
        for pipe in list(self._pipes):
            pipe.wire_changed()

    def is_cut(self, a: str, b: str) -> bool:
        return frozenset((a, b)) in self._cut

    def between(self, a: str, b: str) -> Faults:
        return self._between.get(frozenset((a, b)), self.faults)

    # What carriers call.

    def bind_datagrams(self, at: tuple[str, int], carrier: MemoryDatagrams) -> None:
        if at in self._datagrams:
            raise _in_use(at)
        self._datagrams[at] = carrier

    def bind_streams(self, at: tuple[str, int], carrier: MemoryStreams) -> None:
        if at in self._streams:
            raise _in_use(at)
        self._streams[at] = carrier

    def unbind(self, carrier: MemoryDatagrams | MemoryStreams) -> None:
        self._datagrams = {at: bound for at, bound in self._datagrams.items() if bound is not carrier}
        self._streams = {at: bound for at, bound in self._streams.items() if bound is not carrier}

    def carry(self, source: Address, target: Address, data: bytes) -> None:
        faults, chance = self.between(source.host, target.host), self._chance.random
        self.traffic.datagrams += 1
        self.traffic.datagram_bytes += len(data)
        if self.tap is not None:
            self.tap(source, target, data)
        self.note("send", source, target, data)
        if self.is_cut(source.host, target.host) or chance() < faults.loss:
            self.traffic.lost += 1
            self.note("lost", source, target, data)
            return
        leaves = self.leaves(source.host, target.host, len(data) + HEADERS, most=QUEUE)
        if leaves is None:
            self.traffic.lost += 1
            return
        for _ in range(2 if chance() < faults.duplicate else 1):
            copy = self._damaged(data) if chance() < faults.corrupt else data
            self._fly(self._due(source, target, faults, leaves), source, target, copy)

    def leaves(self, source: str, target: str, size: int, *, most: float = math.inf) -> float | None:
        """When so many bytes are through a wire with a rate; None where they would wait longer than `most`."""
        now = asyncio.get_running_loop().time()
        rate = self.between(source, target).rate
        if not rate:
            return now
        begins = max(now, self._busy.get((source, target), 0.0))
        if begins - now > most:
            return None
        ends = self._busy[source, target] = begins + size / rate
        return ends

    def note(self, what: str, source: Address, target: Address, data: bytes) -> None:
        if self.watch is not None:
            self.watch(what, source, target, data)

    def listener(self, target: Address) -> MemoryStreams:
        """Who takes connections there; `Unavailable` when nobody does."""
        found = self._streams.get((target.host, target.port))
        if found is None:
            raise Unavailable(f"nobody answers at {target}")
        return found

    def join(self, caller: MemoryStreams, listener: MemoryStreams) -> Pipe:
        """A new connection between two carriers."""
        pipe = Pipe(self, caller, listener, next(self._numbers))
        self._pipes[pipe] = None
        return pipe

    def parted(self, pipe: Pipe) -> None:
        """The connection is over."""
        self._pipes.pop(pipe, None)

    def _due(self, source: Address, target: Address, faults: Faults, leaves: float) -> float:
        due = leaves + faults.delay + faults.jitter * self._chance.random()
        pair = (source.host, target.host)
        if self._chance.random() < faults.reorder:
            return due + max(0.01, 4 * faults.delay) * self._chance.random()
        due = self._last[pair] = max(due, self._last.get(pair, 0.0))
        return due

    def _fly(self, due: float, source: Address, target: Address, data: bytes) -> None:
        heapq.heappush(self._flying, (due, next(self._numbers), source, target, data))
        if self._landing is None or due < self._landing.when():
            if self._landing is not None:
                self._landing.cancel()
            self._landing = asyncio.get_running_loop().call_at(due, self._land)

    def _land(self) -> None:
        self._landing = None
        now = asyncio.get_running_loop().time() + TICK
        for _ in range(BATCH):
            if not self._flying or self._flying[0][0] > now:
                break
            _, _, source, target, data = heapq.heappop(self._flying)
            self._deliver(source, target, data)
        if self._flying and self._landing is None:
            self._landing = asyncio.get_running_loop().call_at(self._flying[0][0], self._land)

    def _damaged(self, data: bytes) -> bytes:
        at, bit = self._chance.randrange(len(data)), self._chance.randrange(8)
        return data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]

    def _deliver(self, source: Address, target: Address, data: bytes) -> None:
        carrier = self._datagrams.get((target.host, target.port))
        if carrier is not None and carrier.receiver is not None:
            self.note("come", source, target, data)
            carrier.receiver.datagram_received(Address(carrier.name, source.host, source.port), data)


@dataclass(frozen=True, slots=True)
class Host:
    """One machine on the network: where carriers come from."""

    network: Network
    name: str

    def datagrams(self, port: int = PORT, *, name: str = "udp") -> MemoryDatagrams:
        return MemoryDatagrams(self.network, Address(name, self.name, port))

    def streams(self, port: int | None = PORT, *, name: str = "tcp") -> MemoryStreams:
        """Connections; with `port=None` it only calls."""
        return MemoryStreams(self.network, self.name, port, name)


class MemoryDatagrams:
    """The datagrams of one host and port."""

    def __init__(self, network: Network, local: Address) -> None:
        self.name = local.carrier
        self.receiver: Receiver | None = None
        self._network = network
        self._local = local
        self._unplugged = False

    @property
    def bound(self) -> Sequence[Address]:
        return [self._local] if self.receiver is not None else []

    async def start(self, receiver: Receiver) -> None:
        if self._unplugged:
            return
        self._network.bind_datagrams((self._local.host, self._local.port), self)
        self.receiver = receiver

    def move(self, host: str, port: int = PORT) -> None:
        """Be somewhere else from now on, as after a change of network or a lease; nobody is told."""
        self._network.unbind(self)
        self._local = Address(self.name, host, port)
        self._network.bind_datagrams((host, port), self)

    def unplug(self) -> None:
        """The process or the machine is gone: nothing leaves here any more, and nothing comes."""
        self._network.unbind(self)
        self.receiver, self._unplugged = None, True

    async def resolve(self, target: Address) -> Address:
        return target

    def send(self, target: Address, data: bytes) -> None:
        if self.receiver is not None and data:
            self._network.carry(self._local, target, data)

    async def close(self) -> None:
        self._network.unbind(self)
        self.receiver = None


class MemoryStreams:
    """The connections of one host, taken at one port and opened to others."""

    def __init__(self, network: Network, host: str, port: int | None, name: str) -> None:
        self.name = name
        self.host = host
        self.receiver: Receiver | None = None
        self.pipes: dict[Address, tuple[Pipe, int]] = {}
        self._network = network
        self._port = port
        self._started = False
        self._unplugged = False

    @property
    def port(self) -> int:
        """What others see as this side's port."""
        return self._port or 0

    @property
    def bound(self) -> Sequence[Address]:
        return [Address(self.name, self.host, self._port)] if self._started and self._port else []

    async def start(self, receiver: Receiver) -> None:
        if self._unplugged:
            return
        if self._port:
            self._network.bind_streams((self.host, self._port), self)
        self.receiver = receiver
        self._started = True

    def unplug(self, *, silent: bool) -> None:
        """The process is gone, and the kernel ends its connections; `silent`: the machine is, and nobody does."""
        self._network.unbind(self)
        self.receiver, self._unplugged = None, True
        for peer, (pipe, side) in list(self.pipes.items()):
            if silent:
                pipe.fall_silent()
            else:
                pipe.close(side)
            self.pipes.pop(peer, None)

    async def connect(self, target: Address) -> Address:
        """`Unavailable` when nobody listens there or the wire is cut."""
        if self._unplugged:
            raise Unavailable("this machine is off")
        faults = self._network.between(self.host, target.host)
        await asyncio.sleep(2 * faults.delay)
        if self._network.is_cut(self.host, target.host):
            await asyncio.sleep(USER_TIMEOUT)
            raise Unavailable(f"nobody answers at {target}")
        return self._network.join(self, self._network.listener(target)).open()

    def write(self, peer: Address, data: bytes) -> None:
        if peer in self.pipes:
            pipe, side = self.pipes[peer]
            pipe.write(side, data)

    async def drain(self, peer: Address) -> None:
        if peer in self.pipes:
            pipe, side = self.pipes[peer]
            await pipe.drain(side)

    def pause(self, peer: Address, paused: bool) -> None:
        if peer in self.pipes:
            pipe, side = self.pipes[peer]
            pipe.pause(side, paused)

    def disconnect(self, peer: Address) -> None:
        if peer in self.pipes:
            pipe, side = self.pipes.pop(peer)
            pipe.close(side)

    async def close(self) -> None:
        self._network.unbind(self)
        for peer in list(self.pipes):
            self.disconnect(peer)
        self._started = False


def _in_use(at: tuple[str, int]) -> Unavailable:
    return Unavailable(f"port {at[1]} of {at[0]} is in use")
