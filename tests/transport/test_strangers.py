"""What somebody without keys can do: little, and never much of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kos_edge.errors import Invalid, Misuse, Unavailable
from kos_edge.testing.loop import VirtualClock, run_virtual
from kos_edge.transport import coap, links, surface
from kos_edge.transport.address import Address
from kos_edge.transport.coap import CHANGED, CON, CONTENT, GET, NON, POST, Message, Request, Response
from kos_edge.transport.framing import CSM, MESSAGES_BEFORE, PING, PONG, Stream, encode_frame
from kos_edge.transport.memory import Network
from kos_edge.transport.session import NotTaken, Session
from kos_edge.transport.surface import Limiter
from kos_edge.transport.wire import decode_datagram, encode_datagram
from tests.transport.world import Side, keys_of_both, klp, side

B = Address("udp", "b", 5683)
B_TCP = Address("tcp", "b", 5683)
CORE = Request(GET, "/.well-known/core")


class Raw:
    """Somebody who sends whatever bytes they like."""

    def __init__(self) -> None:
        self.datagrams: list[bytes] = []
        self.streams: dict[Address, bytes] = {}
        self.lost: list[Address] = []
        self.write: Callable[[Address, bytes], None] = lambda peer, data: None

    def datagram_received(self, source: Address, data: bytes) -> None:
        self.datagrams.append(data)

    def connection_opened(self, peer: Address, *, inbound: bool) -> None:
        self.streams[peer] = b""

    def stream_received(self, peer: Address, data: bytes) -> None:
        self.streams[peer] += data

    def connection_lost(self, peer: Address, reason: str) -> None:
        self.lost.append(peer)


def test_the_open_resources_answer_and_nothing_else_does() -> None:
    async def scenario() -> None:
        network = Network()
        a = await side(network.host("a").datagrams(), network.host("a").streams(None))
        b = await side(network.host("b").datagrams(), network.host("b").streams())
        for where in (B, B_TCP):
            found = await a.endpoint.request_plain(where, CORE)
            assert found == Response(CONTENT, b"</.well-known/edhoc>;rt=core.edhoc", coap.LINK_FORMAT)
            shaken = await a.endpoint.request_plain(where, Request(POST, "/.well-known/edhoc", b"message_1"))
            assert shaken.payload == b"message_2 for message_1"
        assert b.requests == []
        await a.endpoint.close()
        await b.endpoint.close()

    run_virtual(scenario())


def test_no_call_of_ours_sends_klp_in_the_clear() -> None:
    async def scenario() -> None:
        network = Network()
        a = await side(network.host("a").datagrams())
        for path in ("/klp", "/sync", "/trust", "/join", "/", "/.well-known/core/x"):
            with pytest.raises(Misuse):
                await a.endpoint.request_plain(B, Request(POST, path, b"secret"))
        disguised = Request(POST, "/.well-known/edhoc", b"x", options=((coap.OSCORE, b""),))
        with pytest.raises(Misuse):
            await a.endpoint.request_plain(B, disguised)
        assert network.traffic.datagrams == 0
        await a.endpoint.close()

    run_virtual(scenario())


@pytest.mark.parametrize("kind", [CON, NON])
def test_every_other_unprotected_request_gets_the_same_short_refusal(kind: int) -> None:
    async def scenario() -> None:
        network, raw = Network(), Raw()
        b = await side(network.host("b").datagrams())
        wire = network.host("c").datagrams()
        await wire.start(raw)
        paths = ["/klp", "/nothing", "/.well-known/other", "/.well-known/core", "/.well-known/edhoc"]
        for mid, path in enumerate(paths):
            options = tuple((coap.URI_PATH, part.encode()) for part in path[1:].split("/"))
            code = GET if path.endswith("edhoc") else POST
            wire.send(B, encode_datagram(Message(code, b"tok", options, b"\xa0", kind, mid)))
            await asyncio.sleep(2)
        answers = [decode_datagram(data) for data in raw.datagrams]
        assert [(answer.code, answer.options, answer.payload) for answer in answers] == [
            (coap.UNAUTHORIZED, (), b"")
        ] * len(paths)
        assert b.requests == []
        await b.endpoint.close()

    run_virtual(scenario())


def test_refusals_are_rare_and_no_longer_than_the_question() -> None:
    async def scenario() -> None:
        network, raw = Network(), Raw()
        b = await side(network.host("b").datagrams())
        wire = network.host("c").datagrams()
        await wire.start(raw)
        asked = 0
        for number in range(5_000):
            option = (
                (coap.OSCORE, b"\x09" + number.to_bytes(1, "big", signed=False)[:1] + b"\x77")
                if (number < 256)
                else (coap.URI_PATH, b"klp")
            )
            data = encode_datagram(Message(POST, b"tok", (option,), b"x" * 20, NON, number))
            asked += len(data)
            wire.send(B, data)
        await asyncio.sleep(1)
        assert 1 <= len(raw.datagrams) <= surface.BURST + 2 * surface.RATE
        assert sum(map(len, raw.datagrams)) < asked
        assert all(len(answer) <= 7 for answer in raw.datagrams)
        await b.endpoint.close()

    run_virtual(scenario())


def test_a_long_answer_to_an_unproven_address_is_replaced_by_a_refusal() -> None:
    async def scenario() -> None:
        async def generous(address: Address, payload: bytes, echo: bytes | None) -> Response:
            return Response(CHANGED, bytes(600), reachable=echo == b"12345678")

        network = Network()
        a = await side(network.host("a").datagrams(), network.host("a").streams(None))
        b = await side(network.host("b").datagrams(), network.host("b").streams(), edhoc=generous)
        short = Request(POST, "/.well-known/edhoc", b"m1")
        assert (await a.endpoint.request_plain(B, short)).code == coap.UNAUTHORIZED
        padded = Request(POST, "/.well-known/edhoc", bytes(220))
        assert (await a.endpoint.request_plain(B, padded)).payload == bytes(600)
        guessed = Request(POST, "/.well-known/edhoc", b"m1", options=((coap.ECHO, b"87654321"),))
        assert (await a.endpoint.request_plain(B, guessed)).code == coap.UNAUTHORIZED
        proven = Request(POST, "/.well-known/edhoc", b"m1", options=((coap.ECHO, b"12345678"),))
        assert (await a.endpoint.request_plain(B, proven)).payload == bytes(600)
        assert (await a.endpoint.request_plain(B_TCP, short)).payload == bytes(600)
        await a.endpoint.close()
        await b.endpoint.close()

    run_virtual(scenario())


def test_echo_travels_both_ways() -> None:
    async def scenario() -> None:
        async def careful(address: Address, payload: bytes, echo: bytes | None) -> Response:
            if echo != b"proof":
                return Response(coap.UNAUTHORIZED, options=((coap.ECHO, b"proof"),))
            return Response(CHANGED, b"welcome")

        network = Network()
        a = await side(network.host("a").datagrams())
        b = await side(network.host("b").datagrams(), edhoc=careful)
        ask = Request(POST, "/.well-known/edhoc", b"m1")
        first = await a.endpoint.request_plain(B, ask)
        assert first.echo == b"proof"
        again = Request(POST, ask.path, ask.payload, options=((coap.ECHO, first.echo),))
        assert (await a.endpoint.request_plain(B, again)).payload == b"welcome"
        await a.endpoint.close()
        await b.endpoint.close()

    run_virtual(scenario())


def test_a_hook_that_fails_tells_a_stranger_no_reason() -> None:
    async def scenario() -> None:
        errors = [Invalid("inside"), Unavailable("inside"), ValueError("inside")]

        async def failing(address: Address, payload: bytes, echo: bytes | None) -> Response:
            raise errors.pop(0)

        network = Network()
        a = await side(network.host("a").datagrams())
        b = await side(network.host("b").datagrams(), edhoc=failing)
        for code in (coap.BAD_REQUEST, coap.SERVICE_UNAVAILABLE, coap.INTERNAL_ERROR):
            answer = await a.endpoint.request_plain(B, Request(POST, "/.well-known/edhoc", b"m1"))
            assert answer == Response(code)
        await a.endpoint.close()
        await b.endpoint.close()

    run_virtual(scenario())


def test_handshakes_at_one_time_are_bounded() -> None:
    async def scenario() -> None:
        running, most = 0, 0

        async def slow(address: Address, payload: bytes, echo: bytes | None) -> Response:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(5)
            running -= 1
            return Response(CHANGED)

        network, raw = Network(), Raw()
        b = await side(network.host("b").datagrams(), edhoc=slow)
        wire = network.host("c").datagrams()
        await wire.start(raw)
        path = ((coap.URI_PATH, b".well-known"), (coap.URI_PATH, b"edhoc"))
        for number in range(1_000):
            wire.send(B, encode_datagram(Message(POST, number.to_bytes(2, "big"), path, b"m1", NON, number)))
        await asyncio.sleep(60)
        assert most == surface.MAX_STRANGERS
        assert b.endpoint.counters["strangers dropped"] == 1_000 - most
        await b.endpoint.close()

    run_virtual(scenario())


async def open_raw(network: Network, count: int, host: str = "c") -> tuple[Raw, list[Address]]:
    raw = Raw()
    wire = network.host(host).streams(None)
    await wire.start(raw)
    peers = [await wire.connect(B_TCP) for _ in range(count)]
    raw.write = wire.write
    return raw, peers


def test_connections_of_strangers_are_bounded_in_number_and_time() -> None:
    async def scenario() -> None:
        network = Network()
        b = await side(network.host("b").datagrams(), network.host("b").streams())
        loop = asyncio.get_running_loop()
        start = loop.time()
        hosts = [await open_raw(network, 40, f"c{number}") for number in range(3)]
        await asyncio.sleep(1)
        assert len(b.endpoint.connections) == links.MAX_UNAUTHENTICATED
        kept = [len(peers) - len(raw.lost) for raw, peers in hosts]
        assert sum(kept) == links.MAX_UNAUTHENTICATED
        assert max(kept) <= links.MAX_UNAUTHENTICATED_PER_HOST
        assert max(kept) - min(kept) <= 1, "whoever has most gives way"
        await asyncio.sleep(start + links.AUTHENTICATE_WITHIN + 1 - loop.time())
        assert b.endpoint.connections == []
        assert all(len(raw.lost) == len(peers) for raw, peers in hosts)
        await b.endpoint.close()

    run_virtual(scenario())


def test_two_hosts_that_fill_the_table_keep_no_third_one_out() -> None:
    async def scenario() -> None:
        network = Network()
        a = await side(network.host("a").streams(None))
        b = await side(network.host("b").streams())
        for host in ("c", "d"):
            await open_raw(network, links.MAX_UNAUTHENTICATED_PER_HOST, host)
        await asyncio.sleep(0.1)
        assert len(b.endpoint.connections) == links.MAX_UNAUTHENTICATED
        assert (await a.endpoint.request_plain(B_TCP, CORE)).ok
        await a.endpoint.close()
        await b.endpoint.close()

    run_virtual(scenario())


def test_a_flood_of_tiny_messages_is_cut_short() -> None:
    async def scenario() -> None:
        network = Network()
        b = await side(network.host("b").streams())
        raw, peers = await open_raw(network, 2)
        hello = encode_frame(Message(CSM))
        raw.write(peers[0], hello + encode_frame(Message(PING)) * 8_000)
        raw.write(peers[1], hello + encode_frame(Message(POST)) * 8_000)
        await asyncio.sleep(1)
        assert set(raw.lost) == set(peers)
        assert all(len(answer) < 4 * MESSAGES_BEFORE for answer in raw.streams.values())
        await b.endpoint.close()

    run_virtual(scenario())


def test_a_member_with_tiny_messages_is_answered_whole() -> None:
    async def scenario() -> None:
        network = Network()
        b = await side(network.host("b").streams())
        raw, peers = await open_raw(network, 1)
        await asyncio.sleep(0.1)
        (there,) = b.endpoint.connections
        b.endpoint.add_session(there, keys_of_both()[1], "a")
        raw.write(peers[0], encode_frame(Message(CSM)) + encode_frame(Message(PING)) * 6_400)
        await asyncio.sleep(1)
        assert raw.streams[peers[0]].count(encode_frame(Message(PONG))) == 6_400
        await b.endpoint.close()

    run_virtual(scenario())


def test_a_member_stays_when_strangers_flood_and_gets_in_when_they_time_out() -> None:
    async def scenario() -> None:
        network = Network()
        a = await side(network.host("a").streams(None))
        b = await side(network.host("b").streams())
        ours, theirs = keys_of_both()
        session = a.endpoint.add_session(await a.endpoint.connect(B_TCP), ours, "b")
        await asyncio.sleep(0.1)
        b.endpoint.add_session(b.endpoint.connections[0], theirs, "a")
        await open_raw(network, 80)
        assert (await session.request(klp())).ok
        await asyncio.sleep(10)
        assert (await session.request(klp())).ok
        await a.endpoint.close()
        await b.endpoint.close()

    run_virtual(scenario())


def test_a_stranger_who_breaks_the_framing_or_says_too_much_is_cut_off() -> None:
    async def scenario() -> None:
        network = Network()
        b = await side(network.host("b").streams())
        raw, peers = await open_raw(network, 3)
        hello = encode_frame(Message(CSM))
        raw.write(peers[0], b"\xff" * 20)
        raw.write(peers[1], hello + encode_frame(Message(POST, b"t", (), bytes(3_000)))[:100])
        raw.write(peers[2], encode_frame(Message(POST, b"t")))
        await asyncio.sleep(1)
        assert set(raw.lost) == set(peers)
        assert b.endpoint.connections == []
        await b.endpoint.close()

    run_virtual(scenario())


def test_a_protected_request_on_another_connection_than_its_sessions_is_dropped() -> None:
    async def scenario() -> None:
        network = Network()
        a = await side(network.host("a").streams(None))
        b = await side(network.host("b").streams())
        ours, theirs = keys_of_both()
        to_b = await a.endpoint.connect(B_TCP)
        session = a.endpoint.add_session(to_b, ours, "b")
        await asyncio.sleep(0.1)
        b.endpoint.add_session(b.endpoint.connections[0], theirs, "a")
        option, payload, _ = session.context.protect_request(klp())
        stolen = encode_frame(Message(POST, b"t", ((coap.OSCORE, option),), payload))
        raw, peers = await open_raw(network, 1)
        raw.write(peers[0], encode_frame(Message(CSM)) + stolen)
        await asyncio.sleep(1)
        reader = Stream()
        reader.receive(raw.streams[peers[0]])
        assert reader.messages() == []
        assert b.requests == []
        await a.endpoint.close()
        await b.endpoint.close()

    run_virtual(scenario())


def test_the_combined_request_finishes_the_handshake_and_is_then_answered() -> None:
    async def scenario() -> None:
        ours, theirs = keys_of_both()
        network = Network()
        a = await side(network.host("a").datagrams())
        made: list[Session] = []
        b = Side()

        async def combined(address: Address, kid: bytes, payload: bytes) -> tuple[Session, bytes] | Response:
            if not payload.startswith(b"message_3"):
                return Response(coap.BAD_REQUEST, b"\x01", coap.EDHOC_CBOR_SEQ)
            assert kid == theirs.recipient_id
            if not made:
                made.append(b.endpoint.add_session(address, theirs, "a"))
            return made[0], payload[len(b"message_3") :]

        b = await side(network.host("b").datagrams(), combined=combined)
        session = a.endpoint.add_session(B, ours, "b")
        with pytest.raises(NotTaken) as refused:
            await session.request(klp(), handshake=b"message_X")
        assert refused.value.response == Response(coap.BAD_REQUEST, b"\x01", coap.EDHOC_CBOR_SEQ)
        assert (await session.request(klp(b"first"), handshake=b"message_3")).payload == b"got first"
        assert (await made[0].request(klp(b"back"))).ok
        assert [request.payload for request in b.requests] == [b"first"]
        await a.endpoint.close()
        await b.endpoint.close()

    run_virtual(scenario())


def test_a_carrier_that_is_not_here_and_a_host_that_is_not_there_are_unavailable() -> None:
    async def scenario() -> None:
        network = Network()
        a = await side(network.host("a").datagrams(), network.host("a").streams(None))
        for nowhere in (
            Address("tcp", "nobody", 5683),
            Address("serial", "x", 0),
            Address("tcp", "b", 1, 77),
        ):
            with pytest.raises(Unavailable):
                await a.endpoint.connect(nowhere)
        with pytest.raises(Unavailable):
            await a.endpoint.request_plain(B, CORE, timeout=3)
        await a.endpoint.close()

    run_virtual(scenario())


def test_a_port_in_use_says_so_and_nothing_listens() -> None:
    async def scenario() -> None:
        network = Network()
        host = network.host("b")
        b = await side(host.datagrams())
        with pytest.raises(Unavailable):
            await side(host.streams(), host.datagrams())
        await side(host.streams())
        await b.endpoint.close()

    run_virtual(scenario())


def test_closing_stops_what_is_under_way() -> None:
    async def scenario() -> None:
        network = Network()
        a = await side(network.host("a").datagrams())
        asked = asyncio.ensure_future(a.endpoint.request_plain(B, CORE, timeout=100))
        await asyncio.sleep(1)
        await a.endpoint.close()
        with pytest.raises(Unavailable):
            await asked
        assert a.endpoint.bound == []

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:0:0:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", False),
        ("c", "d", False),
    ],
)
def test_a_machine_with_a_whole_network_is_one_host(one: str, other: str, same: bool) -> None:
    assert (Address("udp", one, 1).origin == Address("tcp", other, 2).origin) is same


def test_the_limiter_forgets_whom_it_has_not_heard_of_longest() -> None:
    limiter = Limiter(rate=1, burst=2, hosts=2)
    assert [limiter.allow("a", 0.0) for _ in range(3)] == [True, True, False]
    assert limiter.allow("a", 1.0)
    limiter.allow("b", 1.0)
    limiter.allow("c", 1.0)
    assert limiter.allow("a", 1.0)


def test_the_virtual_clock_steps_its_wall_alone() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        wall, monotonic = clock.wall(), clock.monotonic()
        clock.step_wall(-1_000)
        await asyncio.sleep(5)
        assert clock.wall() - wall == pytest.approx(-995)
        assert clock.monotonic() - monotonic == pytest.approx(5)

    run_virtual(scenario())
