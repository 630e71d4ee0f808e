"""The real carriers on loopback, and another implementation of CoAP as the judge of what strangers get."""

from __future__ import annotations

import asyncio
import socket
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiocoap
import pytest

from kos_edge.clock import SystemClock
from kos_edge.errors import Unavailable
from kos_edge.transport import tcp
from kos_edge.transport.address import Address
from kos_edge.transport.coap import GET, Request
from kos_edge.transport.tcp import TcpCarrier
from kos_edge.transport.udp import UdpCarrier
from tests.transport.world import Side, keys_of_both, klp, side, until

HOSTS = ["127.0.0.1", "::1"]
WILDCARDS = {"127.0.0.1": "0.0.0.0", "::1": "::"}


@asynccontextmanager
async def node(*hosts: str, tcp_hosts: tuple[str, ...] | None = None) -> AsyncIterator[Side]:
    udp = UdpCarrier([(host, 0) for host in hosts])
    streams = TcpCarrier([(host, 0) for host in (hosts if tcp_hosts is None else tcp_hosts)])
    made = await side(udp, streams, clock=SystemClock())
    try:
        yield made
    finally:
        await made.endpoint.close()
        await asyncio.sleep(0)


def port(of: Side, carrier: str) -> int:
    return next(address.port for address in of.endpoint.bound if address.carrier == carrier)


@pytest.mark.parametrize("host", HOSTS)
async def test_a_session_over_udp(host: str) -> None:
    async with node(host) as a, node(host) as b:
        ours, theirs = keys_of_both()
        from_a = a.endpoint.add_session(Address("udp", host, port(b, "udp")), ours, "b")
        from_b = b.endpoint.add_session(Address("udp", host, port(a, "udp")), theirs, "a")
        assert (await from_a.request(klp(b"up"))).payload == b"got up"
        assert (await from_b.request(klp(b"down"), confirmable=False)).payload == b"got down"
        assert (await from_a.request(klp(bytes(3_000)))).ok
        assert b.requests[-1].payload == bytes(3_000)


@pytest.mark.parametrize("host", HOSTS)
async def test_a_session_over_tcp_with_64_kib_in_one_message(host: str) -> None:
    async with node(host) as a, node(host) as b:
        ours, theirs = keys_of_both()
        to_b = await a.endpoint.connect(Address("tcp", host, port(b, "tcp")))
        from_a = a.endpoint.add_session(to_b, ours, "b")
        await until(lambda: bool(b.endpoint.connections))
        from_b = b.endpoint.add_session(b.endpoint.connections[0], theirs, "a")
        await from_a.alive()
        before = from_a.context.protected
        assert (await from_a.request(klp(bytes(65_536)))).ok
        assert from_a.context.protected == before + 1
        assert b.requests[-1].payload == bytes(65_536)
        assert (await from_b.request(klp(bytes(65_536)))).ok
        from_b.close("done")
        await until(lambda: bool(a.closed))
        assert a.closed == ["released by the other side"]


@pytest.mark.parametrize("host", HOSTS)
async def test_an_answer_leaves_from_the_address_that_its_question_came_to(host: str) -> None:
    async with node(WILDCARDS[host]) as b:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as asker:
            asker.setblocking(False)
            asker.bind((host, 0))
            # 127.0.0.0/8 is all this machine: without care the answer would come from 127.0.0.1.
            asked = "127.0.0.9" if family == socket.AF_INET else host
            asker.connect((asked, port(b, "udp")))
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(asker, b"\x40\x00\x12\x34")
            assert await asyncio.wait_for(loop.sock_recv(asker, 100), 5) == b"\x70\x00\x12\x34"


async def test_wildcards_of_both_families_share_a_port() -> None:
    async with node("0.0.0.0", "::") as b, node("127.0.0.1") as a:
        assert len({address.port for address in b.endpoint.bound if address.carrier == "udp"}) == 1
        for host in HOSTS:
            for carrier in ("udp", "tcp") if host == "127.0.0.1" else ("tcp",):
                where = Address(carrier, host, port(b, carrier))
                assert (await a.endpoint.request_plain(where, Request(GET, "/.well-known/core"))).ok


async def test_a_port_in_use_is_named_with_the_next_step() -> None:
    async with node("127.0.0.1") as a:
        for carrier in (
            UdpCarrier([("127.0.0.1", port(a, "udp"))]),
            TcpCarrier([("127.0.0.1", port(a, "tcp"))]),
        ):
            with pytest.raises(Unavailable, match="cannot listen on 127") as caught:
                await side(carrier, clock=SystemClock())
            assert caught.value.hint is not None
        with pytest.raises(Unavailable):
            await side(UdpCarrier([("192.0.2.77", 0)]), clock=SystemClock())


async def test_nobody_there_is_unavailable() -> None:
    async with node("127.0.0.1", tcp_hosts=()) as a:
        assert [address.carrier for address in a.endpoint.bound] == ["udp"]
        with pytest.raises(Unavailable, match="cannot connect"):
            await a.endpoint.connect(Address("tcp", "127.0.0.1", 1))
        where = Address("udp", "127.0.0.1", 1)
        with pytest.raises(Unavailable):
            await a.endpoint.request_plain(where, Request(GET, "/.well-known/core"), timeout=0.05)
        unroutable = Address("udp", "not an address", 5683)
        a.endpoint.add_session(unroutable, keys_of_both()[0], "nobody")


async def test_a_connection_notices_within_seconds_that_the_other_side_is_gone() -> None:
    async with node("127.0.0.1") as a, node("127.0.0.1") as b:
        await a.endpoint.connect(Address("tcp", "127.0.0.1", port(b, "tcp")))
        carrier = a.endpoint._links._streams["tcp"]
        assert isinstance(carrier, TcpCarrier)
        [pipe] = carrier._pipes.values()
        assert pipe._transport is not None
        opened = pipe._transport.get_extra_info("socket")
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == tcp.USER_TIMEOUT
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_a_side_that_does_not_read_is_given_up_before_memory_is() -> None:
    async with node("127.0.0.1") as a, node("127.0.0.1") as b:
        ours, theirs = keys_of_both()
        to_b = await a.endpoint.connect(Address("tcp", "127.0.0.1", port(b, "tcp")))
        await until(lambda: bool(b.endpoint.connections))
        b.endpoint.add_session(b.endpoint.connections[0], theirs, "a")
        session = a.endpoint.add_session(to_b, ours, "b")
        await session.alive()
        b.endpoint._links.pause(b.endpoint.connections[0], True)
        asked = [asyncio.ensure_future(session.request(klp(bytes(65_000)), timeout=0.5)) for _ in range(300)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(result, Unavailable) for result in results)
        carrier = a.endpoint._links._streams["tcp"]
        assert isinstance(carrier, TcpCarrier)
        assert all(
            pipe._transport is None or pipe._transport.get_write_buffer_size() <= tcp.MAX_QUEUE
            for pipe in carrier._pipes.values()
        )


@pytest.mark.parametrize(("scheme", "carrier"), [("coap", "udp"), ("coap+tcp", "tcp")])
async def test_another_implementations_client_reaches_what_is_open_and_nothing_else(
    scheme: str, carrier: str
) -> None:
    async with node("127.0.0.1") as b:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client = await aiocoap.Context.create_client_context(transports=["tcpclient", "simple6"])
            try:
                base = f"{scheme}://127.0.0.1:{port(b, carrier)}"
                core = aiocoap.Message(code=aiocoap.GET, uri=f"{base}/.well-known/core")
                found = await client.request(core).response
                assert (found.code, found.payload) == (aiocoap.CONTENT, b"</.well-known/edhoc>;rt=core.edhoc")
                assert found.opt.content_format == 40
                post = aiocoap.Message(
                    code=aiocoap.POST, uri=f"{base}/.well-known/edhoc", payload=b"message_1"
                )
                shaken = await client.request(post).response
                assert (shaken.code, shaken.payload) == (aiocoap.CHANGED, b"message_2 for message_1")
                klp_post = aiocoap.Message(code=aiocoap.POST, uri=f"{base}/klp", payload=b"in the clear")
                assert (await client.request(klp_post).response).code == aiocoap.UNAUTHORIZED
                assert b.requests == []
            finally:
                await client.shutdown()


async def test_an_address_has_one_form_and_a_name_is_resolved() -> None:
    async with node("127.0.0.1", "::1") as a:
        for written, form in (
            ("0:0:0:0:0:0:0:1", "::1"),
            ("127.0.0.1", "127.0.0.1"),
            ("fe80::1%1", "fe80::1%lo"),
        ):
            found = await a.endpoint.connect(Address("udp", written, 7))
            assert found == Address("udp", form, 7)
        assert (await a.endpoint.connect(Address("udp", "localhost", 7))).host in HOSTS
        for unknown in ("x" * 70, "fe80::1%no-such-interface"):
            with pytest.raises(Unavailable):
                await a.endpoint.connect(Address("udp", unknown, 7))
    async with node("127.0.0.1") as a:
        with pytest.raises(Unavailable, match="no socket here"):
            await a.endpoint.connect(Address("udp", "::1", 7))


async def test_a_connection_opened_for_one_plain_request_is_closed_after_it() -> None:
    async with node("127.0.0.1") as a, node("127.0.0.1") as b:
        where = Address("tcp", "127.0.0.1", port(b, "tcp"))
        assert (await a.endpoint.request_plain(where, Request(GET, "/.well-known/core"))).ok
        assert a.endpoint.connections == []
        kept = await a.endpoint.connect(where)
        assert (await a.endpoint.request_plain(kept, Request(GET, "/.well-known/core"))).ok
        assert a.endpoint.connections == [kept]
