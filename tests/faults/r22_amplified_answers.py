"""R22: requests from forged addresses to everything: never more than three times as much goes back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from kos_edge.klp import cbor
from kos_edge.testing.loop import run_virtual
from kos_edge.transport import coap
from kos_edge.transport.address import Address
from kos_edge.transport.coap import CON, NON, Message, Options
from kos_edge.transport.framing import CSM, encode_frame
from kos_edge.transport.memory import PORT
from kos_edge.transport.surface import AMPLIFICATION, EDHOC_PATH
from kos_edge.transport.wire import encode_datagram
from tests.faults.rows import Sweep, row
from tests.faults.strangers import Knocker, Stranger, hello, host, path_options
from tests.node.world import Machine, World

PATHS = (
    *("/.well-known/core", "/.well-known/edhoc", "/klp", "/sync", "/trust", "/", "/join"),
    *("/.well-known", "/nothing", "/" + "x" * 255),
)
METHODS = (*range(1, 8), 31)
SIZES = (0, 1, 16, 64, 255, 256, 700, 1_024, 1_400)
EXTRAS: tuple[Options, ...] = (
    (),
    ((coap.ECHO, b"12345678"),),
    ((6, b""),),
    ((coap.BLOCK1, b"\x0e"),),
    ((coap.OSCORE, b"\x09\x00\x01"),),
    ((coap.OSCORE, b"\x09\x00\x01"), (coap.EDHOC, b"")),
    ((coap.ECHO, b""), (9_999, b"critical")),
)
COPIES = 5
AT_ONCE = 50
LONGEST_REPETITION = 100.0
"""Seconds in which whatever is repeated has been."""


@row("R22", "forged requests to every path, method and size: answers within three times", minutes=2)
def sweep(run: Sweep) -> None:
    run_virtual(story(run, run.folder))


async def story(run: Sweep, folder: Path) -> None:
    async with World(folder, seed=run.seed) as world:
        hub = await world.hub(streams=True)
        await over_datagrams(run, world, hub)
        await over_streams(run, world, hub)


async def over_datagrams(run: Sweep, world: World, hub: Machine) -> None:
    """Each request from an address of its own, and then shorter and equal copies of it."""
    target, chance = Address("udp", hub.address, PORT), random.Random(run.seed)
    asked = list(requests(chance))
    chance.shuffle(asked)
    asked = asked[: run.share(full=len(asked), bounded=1_500)]
    for begin in range(0, len(asked), AT_ONCE):
        strangers = []
        for number, message in enumerate(asked[begin : begin + AT_ONCE], begin):
            stranger = await Stranger(world.network, host(number)).start()
            strangers.append((stranger, message))
            stranger.send(target, encode_datagram(message))
        await asyncio.sleep(1)
        for stranger, message in strangers:
            for _ in range(COPIES):
                stranger.send(target, encode_datagram(message._replace(options=(), payload=b"")))
        await asyncio.sleep(LONGEST_REPETITION)
        for stranger, message in strangers:
            run.case()
            if stranger.got > AMPLIFICATION * stranger.sent:
                run.wrong(f"{stranger.got} bytes for {stranger.sent}: {message!r:.300}")
            await stranger.close()


def requests(chance: random.Random) -> Iterator[Message]:
    """Everything that a datagram can ask without keys."""
    every = product(PATHS, METHODS, (CON, NON), SIZES, EXTRAS)
    for number, (path, method, kind, size, extra) in enumerate(every):
        options = tuple(sorted((*path_options(path), *extra), key=lambda option: option[0]))
        token = chance.randbytes(number % 9)
        for payload in payloads(path, method, size, chance):
            yield Message(method, token, options, payload, kind, number & 0xFFFF)


def payloads(path: str, method: int, size: int, chance: random.Random) -> Iterator[bytes]:
    yield chance.randbytes(size)
    if path == EDHOC_PATH and method == coap.POST:
        yield hello(chance.randrange(2**32), size)
        yield cbor.encode_sequence(chance.randrange(-24, 24), chance.randbytes(size))
        yield cbor.encode_sequence(chance.randrange(-24, 24), 1, "x" * size)


async def over_streams(run: Sweep, world: World, hub: Machine) -> None:
    """A connection proves its address: only the handshake may say more than it was asked, and nothing says much."""
    target = Address("tcp", hub.address, PORT)
    knocker = await Knocker(world.network, "12.0.0.1").start()
    for path, method, size in product(PATHS, METHODS, (0, 64, 1_024)):
        peer = await knocker.connect(target)
        message = encode_frame(Message(method, b"t", path_options(path), bytes(size)))
        knocker.write(peer, encode_frame(Message(CSM)) + message)
        await asyncio.sleep(6)
        run.case()
        capabilities = len(encode_frame(Message(CSM, options=((2, b"\x08\x00"),))))
        if path != EDHOC_PATH and knocker.got[peer] - capabilities > AMPLIFICATION * len(message):
            run.wrong(f"{knocker.got[peer]} bytes over a stream for {len(message)}: {method} {path}")
        if peer not in knocker.lost:
            run.wrong(f"a connection without a key is still there after 6 s: {method} {path}")
