"""What one message costs here and in aiocoap: time, and memory that a stranger can make us keep.

    python -m benchmarks.message_layer [--rounds N]

Prints the figures that `docs/adr/0002-own-coap-message-layer.md` rests on.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

from aiocoap import POST, Message
from aiocoap.message import Direction

from benchmarks.oscore_64k import CHACHA, SMALL, Core, keys
from kos_edge.errors import Invalid
from kos_edge.transport import coap, wire
from kos_edge.transport.address import Address
from kos_edge.transport.coap import NON, OSCORE, Request
from kos_edge.transport.exchange import Exchange, Requested
from kos_edge.transport.oscore import OscoreOption, SecurityContext

STRANGERS = 40_000
"""Datagrams with an unknown option number each, as anybody may send them."""

REQUESTS = 50_000
"""Non-confirmable requests through one machine."""

WARM_UP = 5_000
"""Requests before memory is looked at, so that caches and free lists have their size."""


def microseconds(work: Callable[[], object], rounds: int) -> float:
    """The median of one call."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def ours(rounds: int) -> list[tuple[str, float]]:
    """Protect, unprotect, write and read a request of 1,000 bytes with our own code."""
    client, server = (SecurityContext(side) for side in keys(CHACHA))
    request = Request(coap.POST, "/klp", SMALL)
    waiting = [client.protect_request(request) for _ in range(rounds)]
    protected = iter(waiting)

    def unprotect() -> None:
        option, payload, _ = next(protected)
        server.unprotect_request(OscoreOption.read(option), payload)

    option, payload, _ = waiting[0]
    message = coap.Message(coap.POST, b"tokn", ((OSCORE, option),), payload)
    data = wire.encode_datagram(message)
    return [
        ("protect", microseconds(lambda: client.protect_request(request), rounds)),
        ("unprotect", microseconds(unprotect, rounds)),
        ("write the datagram", microseconds(lambda: wire.encode_datagram(message), rounds)),
        ("read the datagram", microseconds(lambda: wire.decode_datagram(data), rounds)),
    ]


def theirs(rounds: int) -> list[tuple[str, float]]:
    """The same with aiocoap's."""
    client, server = (Core(side) for side in keys(CHACHA))

    def protect() -> Message:
        return client.protect(Message(code=POST, uri_path=("klp",), payload=SMALL))[0]

    waiting = [protect() for _ in range(rounds)]
    for message in waiting:
        message.direction = Direction.INCOMING
    protected = iter(waiting)
    first = waiting[0].copy(payload=waiting[0].payload)
    first.direction = Direction.OUTGOING
    first.token, first.mid, first.mtype = b"tokn", 7, 1
    data = first.encode()
    return [
        ("protect", microseconds(protect, rounds)),
        ("unprotect", microseconds(lambda: server.unprotect(next(protected)), rounds)),
        ("write the datagram", microseconds(first.encode, rounds)),
        ("read the datagram", microseconds(lambda: Message.decode(data), rounds)),
    ]


def kept(read: Callable[[bytes], object]) -> int:
    """Bytes still there after strangers' datagrams with unknown options were read and thrown away."""
    tracemalloc.start()
    for number in range(1, STRANGERS + 1):
        first, second = divmod(number, 256)
        with suppress(Invalid):  # ours takes no option number over 65,535
            read(b"\x50\x01\x00\x01" + bytes((0xE0, first, second, 0xE0, first, second)))
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return grown


def kept_for_requests() -> int:
    """Bytes that the message layer keeps for non-confirmable requests that were answered."""
    machine, peer = Exchange(random=bytes), Address("udp", "192.0.2.1", 5683)
    tracemalloc.start()
    warm = 0
    for number in range(WARM_UP + REQUESTS):
        if number == WARM_UP:
            warm = tracemalloc.get_traced_memory()[0]
        data = wire.encode_datagram(coap.Message(coap.POST, b"tokn", (), SMALL, NON, number & 0xFFFF))
        event = machine.receive(peer, data, number / 1_000)
        assert isinstance(event, Requested)
        machine.answer(event, coap.Message(coap.CHANGED, b"tokn"), number / 1_000)
        machine.pending()
    grown = tracemalloc.get_traced_memory()[0] - warm
    tracemalloc.stop()
    return grown


def resident(imports: str) -> tuple[float, float]:
    """Milliseconds and megabytes that a process needs to import something."""
    script = (
        f"import time\nstart = time.perf_counter()\n{imports}\ntook = time.perf_counter() - start\n"
        "pages = int(open('/proc/self/statm').read().split()[1])\nprint(took * 1000, pages * 4096 / 1e6)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout
        for _ in range(5)
    ]
    took, held = min(tuple(map(float, run.split())) for run in runs)
    return took, held


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.message_layer")
    parser.add_argument("--rounds", type=int, default=3_000, help="how often each piece of work is done")
    options = parser.parse_args()
    print(f"{'1,000 bytes under ChaCha20/Poly1305, microseconds':52}{'ours':>9}{'aiocoap':>10}")
    for (name, mine), (_, other) in zip(ours(options.rounds), theirs(options.rounds), strict=True):
        print(f"  {name:50}{mine:9.1f}{other:10.1f}")
    print(f"\n{f'kept after {STRANGERS:,} datagrams of strangers, bytes':52}", end="")
    print(f"{kept(wire.decode_datagram):9,}{kept(Message.decode):>12,}")
    print(f"{f'kept after {REQUESTS:,} answered NON requests, bytes':52}{kept_for_requests():9,}")
    base = "import asyncio, cbor2, logging, cryptography.hazmat.primitives.asymmetric.x25519"
    took, held = resident(f"{base}\nimport cryptography.hazmat.primitives.ciphers.aead")
    more, larger = resident(f"{base}\nimport aiocoap.oscore")
    print(f"\nimporting aiocoap.oscore on top: {more - took:.0f} ms, {larger - held:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
