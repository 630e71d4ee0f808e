"""A relay for datagrams, as a process: loss, duplicates, reordering and delay by seed.

    python -m benchmarks.relays.udp 5683 --seed 7 --loss 0.1 --delay 0.02

It says on which port of loopback it listens, a line of JSON, and when it is ended what it carried, another one. Both
directions suffer alike. What it holds is bounded, and so is its life.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = 64
"""Addresses that it relays for; datagrams of further ones are dropped."""

HELD = 16_384
"""Datagrams in flight at a time, as in the queue of a real link; more are dropped and counted."""

LIFE_S = 900
"""Seconds after which it ends by itself, whatever became of whoever started it."""

LATE_S = 0.01
"""How much later than the others a reordered datagram comes, at least."""

BUFFER = 4 << 20  # bytes of a socket's buffer: a burst is not to be lost here, where no seed says so


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of the datagrams, and seconds one way."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0


@dataclass(slots=True)
class Carried:
    """What has gone through, both directions together."""

    datagrams: int = 0
    bytes: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    overflowed: int = 0


class Lots:
    """What becomes of each datagram: the delays after which copies of it go on, in the order of arrival."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self._faults = faults
        self._lot = random.Random(f"relay {seed}")

    def draw(self, carried: Carried) -> list[float]:
        """No delay for one that is lost, two for one that is doubled. Each draws as often as every other."""
        faults = self._faults
        lost, doubled, late, jitter = (self._lot.random() for _ in range(4))
        if lost < faults.loss:
            carried.lost += 1
            return []
        delay = faults.delay + faults.jitter * (2 * jitter - 1)
        if late < faults.reorder:
            carried.reordered += 1
            delay += max(LATE_S, 4 * faults.delay * self._lot.random())
        if doubled < faults.duplicate:
            carried.duplicated += 1
            return [max(0.0, delay), max(0.0, delay + faults.delay)]
        return [max(0.0, delay)]


class Relay(asyncio.DatagramProtocol):
    """The side that clients speak to; each of them has a socket of its own towards the target."""

    def __init__(self, target: int, faults: Faults, seed: int) -> None:
        self.carried = Carried()
        self._target = ("127.0.0.1", target)
        self._lots = Lots(faults, seed)
        self._clients: dict[tuple[str, int], asyncio.DatagramTransport] = {}
        self._opening: dict[tuple[str, int], list[bytes]] = {}
        self._held = 0
        self.transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if self.transport is None:
            return
        if (upstream := self._clients.get(address)) is not None:
            self.carry(data, upstream, None)
        elif address in self._opening:
            self._opening[address].append(data)
        elif len(self._clients) + len(self._opening) < CLIENTS:
            self._opening[address] = [data]
            task = asyncio.ensure_future(self._open(address))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def carry(self, data: bytes, to: asyncio.DatagramTransport, address: tuple[str, int] | None) -> None:
        """Draw for one datagram and send it on when its time has come."""
        self.carried.datagrams += 1
        self.carried.bytes += len(data)
        for delay in self._lots.draw(self.carried):
            if self._held >= HELD:
                self.carried.overflowed += 1
                continue
            self._held += 1
            asyncio.get_running_loop().call_later(delay, self._send, data, to, address)

    def back(self, data: bytes, address: tuple[str, int]) -> None:
        """One from the target for a client."""
        assert self.transport is not None
        self.carry(data, self.transport, address)

    def _send(self, data: bytes, to: asyncio.DatagramTransport, address: tuple[str, int] | None) -> None:
        self._held -= 1
        to.sendto(data, address)

    async def _open(self, address: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        upstream, _ = await loop.create_datagram_endpoint(
            lambda: _Upstream(self, address), remote_addr=self._target
        )
        widen(upstream)
        self._clients[address] = upstream
        for data in self._opening.pop(address):
            self.carry(data, upstream, None)


class _Upstream(asyncio.DatagramProtocol):
    def __init__(self, relay: Relay, client: tuple[str, int]) -> None:
        self._relay = relay
        self._client = client

    def datagram_received(self, data: bytes, address: object) -> None:
        self._relay.back(data, self._client)

    def error_received(self, error: Exception) -> None:
        """The target may be away for a while."""


def widen(transport: asyncio.DatagramTransport) -> None:
    """Give a socket room for bursts."""
    wire = transport.get_extra_info("socket")
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        wire.setsockopt(socket.SOL_SOCKET, option, BUFFER)


async def serve(target: int, faults: Faults, seed: int) -> None:
    """Relay until ended."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    transport, relay = await loop.create_datagram_endpoint(
        lambda: Relay(target, faults, seed), local_addr=("127.0.0.1", 0)
    )
    widen(transport)
    relay.transport = transport
    print(json.dumps({"port": transport.get_extra_info("sockname")[1]}), flush=True)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LIFE_S):
            await ended.wait()
    transport.close()
    print(json.dumps(asdict(relay.carried)), flush=True)


@dataclass(slots=True)
class Running:
    """A relay that runs: its port, and once it has ended what it carried."""

    port: int
    carried: Carried | None = None


@contextlib.contextmanager
def relaying(target: int, faults: Faults, seed: int) -> Iterator[Running]:
    """A relay before the port `target` of loopback, as a process, while it runs."""
    words = [word for each in fields(faults) for word in (f"--{each.name}", str(getattr(faults, each.name)))]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.relays.udp", str(target), "--seed", str(seed), *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        running = Running(json.loads(process.stdout.readline())["port"])
        yield running
        process.terminate()
        running.carried = Carried(**json.loads(process.communicate(timeout=10)[0]))
    finally:
        process.kill()
        process.communicate()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relays.udp", description=__doc__)
    parser.add_argument("target", type=int, help="a port of loopback")
    parser.add_argument("--seed", type=int, default=0)
    for each in fields(Faults):
        parser.add_argument(f"--{each.name}", type=float, default=each.default)
    options = parser.parse_args()
    faults = Faults(**{each.name: getattr(options, each.name) for each in fields(Faults)})
    asyncio.run(serve(options.target, faults, options.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
