"""A CoAP server under long load, for row R23: members and strangers ask, and memory stays as it was.

aiocoap's own server kept 2.7 KB a request for 247 s (docs/adr/0002-own-coap-message-layer.md).
"""

from __future__ import annotations

import asyncio
import gc
import random
from typing import Final

from kos_edge.testing.loop import run_virtual
from kos_edge.transport.address import Address
from kos_edge.transport.coap import CON, ECHO, GET, NON, OSCORE, POST, Message
from kos_edge.transport.memory import PORT, Network
from kos_edge.transport.surface import CORE_PATH, EDHOC_PATH
from kos_edge.transport.wire import encode_datagram
from tests.faults.rows import Sweep
from tests.faults.strangers import host, path_options
from tests.transport.test_volume import Counted, resident
from tests.transport.world import Pair, klp, pair

WARM: Final = 60_000
"""Requests before any that count: a twelfth of them fill the memory of confirmable messages, the slowest to fill."""

HOSTS: Final = 3_000
"""Addresses that the strangers' requests come from, in turn: more than any table remembers."""

AT_ONCE: Final = 200
MORE_BYTES: Final = 4_000_000
MORE_OBJECTS: Final = 4_000


def sweep(run: Sweep) -> None:
    requests = run.share(full=400_000, bounded=4_000)
    run_virtual(load(run, requests, run.share(full=WARM, bounded=4_000)))


async def load(run: Sweep, requests: int, warm: int) -> None:
    network = Network(seed=run.seed)
    over_datagrams, over_stream = await pair(network), await pair(network, stream=True, hosts=("c", "d"))
    for side in (over_datagrams.a, over_datagrams.b, over_stream.a, over_stream.b):
        side.requests = Counted()
    chance = random.Random(run.seed)
    await ask(network, over_datagrams, over_stream, warm, chance)
    looks = []
    for _ in range(2):
        await ask(network, over_datagrams, over_stream, requests // 2, chance)
        await asyncio.sleep(300)  # what CoAP lets a server forget is forgotten
        looks.append(look())
        run.case(requests // 2)
    before, after = looks
    for what, was, now, most in zip(
        ("bytes", "objects"), before, after, (MORE_BYTES, MORE_OBJECTS), strict=True
    ):
        if now - was > most:
            run.wrong(f"{now - was} {what} more after {requests} requests than after half of them")
    for world in (over_datagrams, over_stream):
        await world.close()


def look() -> tuple[int, int]:
    """Bytes of this process, and objects that the collector knows."""
    size = resident()
    return size, len(gc.get_objects())


async def ask(
    network: Network, over_datagrams: Pair, over_stream: Pair, count: int, chance: random.Random
) -> None:
    """A third of it by members over datagrams, a third over a stream, a third by strangers."""
    each = count // 3 // AT_ONCE

    async def member(world: Pair, confirmable: bool) -> None:
        for _ in range(each):
            await world.from_a.request(klp(bytes(200)), confirmable=confirmable)

    async def stranger(first: int) -> None:
        for number in range(first, first + each):
            data = encode_datagram(message(number, chance))
            network.carry(Address("udp", host(number % HOSTS), PORT), Address("udp", "b", PORT), data)
            await asyncio.sleep(0.001)

    await asyncio.gather(
        *(member(over_datagrams, number % 4 == 0) for number in range(AT_ONCE)),
        *(member(over_stream, True) for _ in range(AT_ONCE)),
        *(stranger(number * each) for number in range(AT_ONCE)),
    )


def message(number: int, chance: random.Random) -> Message:
    """Something that anybody may ask, never twice the same."""
    kind, token = CON if number % 2 else NON, chance.randbytes(8)
    match number % 5:
        case 0:
            return Message(GET, token, path_options(CORE_PATH), b"", kind, number & 0xFFFF)
        case 1:
            return Message(
                POST, token, path_options(EDHOC_PATH), chance.randbytes(250), kind, number & 0xFFFF
            )
        case 2:
            options = (*path_options(EDHOC_PATH), (ECHO, chance.randbytes(8)))
            return Message(POST, token, options, chance.randbytes(40), kind, number & 0xFFFF)
        case 3:
            return Message(
                POST, token, ((OSCORE, b"\x09\x00" + chance.randbytes(1)),), b"x" * 30, kind, number & 0xFFFF
            )
        case _:
            return Message(chance.randrange(1, 8), token, path_options("/klp"), b"", kind, number & 0xFFFF)
