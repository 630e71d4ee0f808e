"""One connection of the network in memory: two ways, each in order, each with its own delay."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from kos_edge.transport.address import Address, Receiver
from kos_edge.transport.faults import TICK, USER_TIMEOUT, Faults, Traffic

HIGH_WATER: Final = 256 * 1024
"""Bytes under way above which `drain` waits."""


class End(Protocol):
    """The carrier at one end."""

    name: str
    host: str
    receiver: Receiver | None
    pipes: dict[Address, tuple[Pipe, int]]

    @property
    def port(self) -> int: ...


class Wires(Protocol):
    """The network that the connection runs over."""

    traffic: Traffic

    def between(self, a: str, b: str) -> Faults: ...

    def is_cut(self, a: str, b: str) -> bool: ...

    def leaves(self, source: str, target: str, size: int) -> float | None: ...

    def parted(self, pipe: Pipe) -> None: ...

    def note(self, what: str, source: Address, target: Address, data: bytes) -> None: ...


class Pipe:
    """A connection. Side 0 opened it, side 1 took it; each knows the other by an address of its own."""

    def __init__(self, wires: Wires, caller: End, listener: End, number: int) -> None:
        self._wires = wires
        self._ends = (caller, listener)
        # The caller's port is one that nobody else has, as the kernel would choose it.
        self._peers = (
            Address(caller.name, listener.host, listener.port, 2 * number),
            Address(listener.name, caller.host, 49_152 + number, 2 * number + 1),
        )
        self._ways = (_Way(self, 1), _Way(self, 0))
        self._patience: asyncio.TimerHandle | None = None
        self._silent = False

    def open(self) -> Address:
        """Tell both ends; gives the address under which the caller knows the listener."""
        for side in (1, 0):
            self._ends[side].pipes[self._peers[side]] = (self, side)
        for side in (1, 0):
            receiver = self._ends[side].receiver
            if receiver is not None:
                receiver.connection_opened(self._peers[side], inbound=side == 1)
        return self._peers[0]

    @property
    def faults(self) -> Faults:
        return self._wires.between(self._ends[0].host, self._ends[1].host)

    @property
    def cut(self) -> bool:
        return self._silent or self._wires.is_cut(self._ends[0].host, self._ends[1].host)

    def leaves(self, to: int, size: int) -> float:
        """When so many bytes on their way to that end are through."""
        when = self._wires.leaves(self._ends[1 - to].host, self._ends[to].host, size)
        assert when is not None
        return when

    def write(self, side: int, data: bytes) -> None:
        self._wires.traffic.stream_bytes += len(data)
        self._wires.note("write", self._peers[1 - side], self._peers[side], data)
        self._ways[side].put(data)
        if self.cut:
            self.wire_changed()

    async def drain(self, side: int) -> None:
        await self._ways[side].room.wait()

    def pause(self, side: int, paused: bool) -> None:
        self._ways[1 - side].pause(paused)

    def close(self, side: int) -> None:
        """One end has closed; the other learns it after what was written."""
        self._ways[side].put(b"")
        if self.cut:
            self.wire_changed()

    def fall_silent(self) -> None:
        """One end's machine has no power any more: the other only notices that nothing is acknowledged."""
        self._silent = True
        self.wire_changed()

    def wire_changed(self) -> None:
        """The wire was cut or mended."""
        if not self.cut:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None
            for way in self._ways:
                way.pump()
        elif self._patience is None and any(way.waiting for way in self._ways):
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(USER_TIMEOUT, self.lose, "nothing was acknowledged for 5 s")

    def arrived(self, side: int, data: bytes) -> None:
        end, peer = self._ends[side], self._peers[side]
        if peer in end.pipes and end.receiver is not None:
            self._wires.note("read", peer, self._peers[1 - side], data)
            end.receiver.stream_received(peer, data)

    def lose(self, reason: str, side: int | None = None) -> None:
        """Tell an end, or both, that the connection is gone."""
        self._wires.parted(self)
        for way in self._ways:
            way.drop()
        for at in (0, 1) if side is None else (side,):
            end, peer = self._ends[at], self._peers[at]
            if end.pipes.pop(peer, None) is not None and end.receiver is not None:
                end.receiver.connection_lost(peer, reason)


class _Way:
    """One direction. An empty piece is the end of it."""

    def __init__(self, pipe: Pipe, to: int) -> None:
        self.room = asyncio.Event()
        self.room.set()
        self._pipe = pipe
        self._to = to
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._last = 0.0
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> bool:
        return bool(self._pieces)

    def put(self, data: bytes) -> None:
        faults = self._pipe.faults
        for at in range(0, len(data) or 1, faults.chunk):
            piece = data[at : at + faults.chunk]
            self._last = max(self._pipe.leaves(self._to, len(piece)) + faults.delay, self._last + TICK)
            self._pieces.append((self._last, piece))
        self._size += len(data)
        if self._size > HIGH_WATER:
            self.room.clear()
        self.pump()

    def pause(self, paused: bool) -> None:
        self._paused = paused
        self.pump()

    def pump(self) -> None:
        """Deliver at the next due time what is due then."""
        if self._pieces and self._timer is None and not self._paused and not self._pipe.cut:
            self._timer = asyncio.get_running_loop().call_at(self._pieces[0][0], self._deliver)

    def drop(self) -> None:
        self._pieces.clear()
        self.room.set()
        if self._timer is not None:
            self._timer.cancel()

    def _deliver(self) -> None:
        self._timer = None
        if self._paused or self._pipe.cut or not self._pieces:
            return
        data = self._pieces.popleft()[1]
        self._size -= len(data)
        if self._size <= HIGH_WATER:
            self.room.set()
        if data:
            self._pipe.arrived(self._to, data)
            self.pump()
        else:
            self._pipe.lose("closed by the other side", self._to)
