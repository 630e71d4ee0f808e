"""Two endpoints that share keys, over any wire: what the tests of transport stand on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from kos_edge.bootstrap.schedule import OscoreKeys
from kos_edge.clock import Clock
from kos_edge.testing.loop import VirtualClock
from kos_edge.transport.address import Address, Carrier
from kos_edge.transport.coap import CHANGED, EDHOC_CBOR_SEQ, POST, Request, Response
from kos_edge.transport.endpoint import EdhocCombined, Endpoint
from kos_edge.transport.memory import Host, MemoryDatagrams, Network
from kos_edge.transport.session import Session

CCM, CHACHA, SHA_256 = 10, 24, -16


def keys_of_both(
    aead: int = CHACHA, a_id: bytes = b"\x01", b_id: bytes = b"\x02"
) -> tuple[OscoreKeys, OscoreKeys]:
    """The same context as either side sees it; the ids are those under which a and b are addressed."""
    secret, salt = bytes(range(16)), bytes(range(8))
    return (
        OscoreKeys(secret, salt, b_id, a_id, aead, SHA_256),
        OscoreKeys(secret, salt, a_id, b_id, aead, SHA_256),
    )


def klp(payload: bytes = b"pack", path: str = "/klp") -> Request:
    return Request(POST, path, payload)


@dataclass
class Side:
    """An endpoint, what it got and what it was told."""

    requests: list[Request] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    hints: int = 0
    delay: float = 0.0
    answer: Callable[[Request], Response] = lambda request: Response(CHANGED, b"got " + request.payload[:16])
    endpoint: Endpoint = field(init=False)

    async def take(self, session: Session, request: Request) -> Response:
        self.requests.append(request)
        if self.delay:
            await asyncio.sleep(self.delay)
        return self.answer(request)

    def on_closed(self, session: Session, reason: str) -> None:
        self.closed.append(reason)

    def on_hint(self, session: Session) -> None:
        self.hints += 1


async def handshake(address: Address, payload: bytes, echo: bytes | None) -> Response:
    """Stands where the EDHOC responder does."""
    return Response(CHANGED, b"message_2 for " + payload[:20], EDHOC_CBOR_SEQ)


async def side(
    *carriers: Carrier,
    clock: Clock | None = None,
    edhoc: Callable[[Address, bytes, bytes | None], Awaitable[Response]] = handshake,
    combined: EdhocCombined | None = None,
    seed: int = 0,
) -> Side:
    made = Side()
    made.endpoint = Endpoint(
        carriers,
        edhoc,
        made.take,
        edhoc_combined=combined,
        on_closed=made.on_closed,
        on_hint=made.on_hint,
        clock=clock or VirtualClock(),
        random=random.Random(seed).randbytes,
    )
    await made.endpoint.start()
    return made


@dataclass
class Pair:
    """Two sides with a session between them."""

    network: Network
    a: Side
    b: Side
    from_a: Session
    from_b: Session
    a_host: Host
    b_host: Host
    a_datagrams: MemoryDatagrams
    b_datagrams: MemoryDatagrams

    async def close(self) -> None:
        await self.a.endpoint.close()
        await self.b.endpoint.close()


async def pair(
    network: Network, *, stream: bool = False, aead: int = CHACHA, hosts: tuple[str, str] = ("a", "b")
) -> Pair:
    """Two hosts of a network in memory with a session over datagrams or a stream."""
    a_host, b_host = (network.host(name) for name in hosts)
    a_udp, b_udp = a_host.datagrams(), b_host.datagrams()
    a = await side(a_udp, a_host.streams(None), seed=1)
    b = await side(b_udp, b_host.streams(), seed=2)
    a_keys, b_keys = keys_of_both(aead)
    if stream:
        to_b = await a.endpoint.connect(Address("tcp", hosts[1], 5683))
        from_b_address = await inbound(b)
    else:
        to_b, from_b_address = Address("udp", hosts[1], 5683), Address("udp", hosts[0], 5683)
    from_a = a.endpoint.add_session(to_b, a_keys, "b")
    from_b = b.endpoint.add_session(from_b_address, b_keys, "a")
    return Pair(network, a, b, from_a, from_b, a_host, b_host, a_udp, b_udp)


async def inbound(side: Side) -> Address:
    """The connection that somebody opened to this side."""
    await asyncio.sleep(0.05)
    return side.endpoint.connections[-1]


async def until(condition: Callable[[], bool]) -> None:
    """Wait, at most 5 s, for something that real sockets bring about and that nobody tells."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
