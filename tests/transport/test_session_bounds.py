"""Sessions under attack, misused, or worn out: what is dropped, what is refused, what ends them."""

from __future__ import annotations

import asyncio

import pytest

from kos_edge.errors import Misuse, Unavailable
from kos_edge.testing.loop import run_virtual
from kos_edge.transport import coap
from kos_edge.transport.address import Address
from kos_edge.transport.coap import CHANGED, POST, Response
from kos_edge.transport.endpoint import HINT_INTERVAL
from kos_edge.transport.memory import Network
from kos_edge.transport.oscore import MAX_FAILURES, MAX_MESSAGES
from kos_edge.transport.wire import decode_datagram, encode_datagram
from tests.transport.world import CCM, CHACHA, keys_of_both, klp, pair


def test_every_captured_datagram_replayed_changes_nothing_and_is_not_answered() -> None:
    async def scenario() -> None:
        network = Network()
        world = await pair(network)
        captured: list[tuple[Address, Address, bytes]] = []
        network.tap = lambda source, target, data: captured.append((source, target, data))
        for number in range(20):
            await world.from_a.request(klp(b"%d" % number), confirmable=number % 2 == 0)
        network.tap = None
        await asyncio.sleep(300)  # beyond what the message layer remembers
        handled, carried = len(world.b.requests), network.traffic.datagrams
        forged = network.host("mallory").datagrams()
        await forged.start(world.a_datagrams.receiver or pytest.fail("not started"))
        for source, target, data in captured:
            if target.host == "b":
                network.carry(source, target, data)
                forged.send(target, data)
        sent = network.traffic.datagrams
        await asyncio.sleep(10)
        assert len(world.b.requests) == handled == 20
        assert network.traffic.datagrams == sent > carried
        await world.close()

    run_virtual(scenario())


def test_every_bit_of_a_request_flipped_reaches_no_handler_and_harms_no_session() -> None:
    async def scenario() -> None:
        network = Network()
        world = await pair(network)
        captured: list[bytes] = []
        network.tap = lambda source, target, data: captured.append(data)
        network.partition("a", "b")
        asked = asyncio.ensure_future(world.from_a.request(klp(), timeout=60))
        await asyncio.sleep(0)
        [data] = captured
        network.heal()
        network.tap = None
        for at in range(8 * len(data)):
            damaged = bytearray(data)
            damaged[at // 8] ^= 1 << at % 8
            network.carry(Address("udp", "a", 5683), Address("udp", "b", 5683), bytes(damaged))
        assert (await asked).ok
        # Message id and token are not covered by the keys: flips in them make another message that carries
        # the same protected request, of which one is taken and all others are replays.
        assert len(world.b.requests) == 1
        await world.close()

    run_virtual(scenario())


def test_an_unprotected_answer_to_a_protected_request_is_never_delivered() -> None:
    async def scenario() -> None:
        network = Network()
        world = await pair(network)
        tokens: list[bytes] = []

        def forge(source: Address, target: Address, data: bytes) -> None:
            if source.host == "a":
                asked = decode_datagram(data)
                tokens.append(asked.token)
                for code in (coap.CHANGED, coap.CONTENT, coap.NOT_FOUND, coap.UNAUTHORIZED):
                    forged = coap.Message(code, asked.token, (), b"forged", coap.NON, 1)
                    asyncio.get_running_loop().call_soon(
                        world.a_datagrams.receiver.datagram_received,  # type: ignore[union-attr]
                        target,
                        encode_datagram(forged),
                    )

        network.tap = forge
        assert (await world.from_a.request(klp())).payload == b"got pack"
        assert tokens
        assert world.a.hints == 1
        await world.close()

    run_virtual(scenario())


def test_a_peer_that_forgot_the_session_gives_a_hint_now_and_then_and_the_session_stays() -> None:
    async def scenario() -> None:
        world = await pair(Network())
        world.from_b.close()
        for _ in range(3):
            with pytest.raises(Unavailable):
                await world.from_a.request(klp(), timeout=1)
        assert world.a.hints == 1
        assert world.from_a.closed is None
        await asyncio.sleep(HINT_INTERVAL)
        with pytest.raises(Unavailable):
            await world.from_a.request(klp(), timeout=1)
        assert world.a.hints == 2
        await world.close()

    run_virtual(scenario())


def test_whoever_forges_a_source_address_moves_no_session() -> None:
    async def scenario() -> None:
        network = Network()
        world = await pair(network)
        captured: list[bytes] = []
        network.tap = lambda source, target, data: captured.append(data)
        network.partition("a", "b")
        with pytest.raises(Unavailable):
            await world.from_a.request(klp(), confirmable=False, timeout=1)
        network.heal()
        network.tap = None
        network.carry(Address("udp", "victim", 5683), Address("udp", "b", 5683), captured[0])
        await asyncio.sleep(60)
        assert len(world.b.requests) == 1
        assert world.from_b.address == Address("udp", "a", 5683)
        assert (await world.from_b.request(klp(b"still here"))).ok
        await world.close()

    run_virtual(scenario())


def test_an_answer_that_no_datagram_holds_is_our_own_mistake() -> None:
    async def scenario() -> None:
        world = await pair(Network())
        world.b.answer = lambda request: Response(CHANGED, bytes(1_025))
        assert (await world.from_a.request(klp())).code == coap.INTERNAL_ERROR
        world.b.answer = lambda request: Response(CHANGED, bytes(1_024))
        assert (await world.from_a.request(klp())).payload == bytes(1_024)
        await world.close()

    run_virtual(scenario())


def test_a_body_over_72_kib_is_our_own_mistake() -> None:
    async def scenario() -> None:
        world = await pair(Network())
        with pytest.raises(Misuse):
            await world.from_a.request(klp(bytes(73_729)))
        await world.close()

    run_virtual(scenario())


def test_two_sessions_cannot_share_an_id_or_a_connection() -> None:
    async def scenario() -> None:
        world = await pair(Network(), stream=True)
        for ids in ((b"\x01", b"\x02"), (b"\x11", b"\x12")):
            keys = keys_of_both(CHACHA, *ids)[0]
            with pytest.raises(Misuse):
                world.a.endpoint.add_session(world.from_a.address, keys, "twice")
        await world.close()

    run_virtual(scenario())


def test_keys_under_attack_end_their_session() -> None:
    async def scenario() -> None:
        world = await pair(Network())
        world.from_b.context.failures = MAX_FAILURES // 2
        assert world.from_b.needs_rekey
        world.from_b.context.failures = MAX_FAILURES - 1
        network, source = world.network, Address("udp", "mallory", 1)
        forged = coap.Message(POST, b"t", ((coap.OSCORE, b"\x09\x63\x02"),), bytes(40), coap.NON, 1)
        network.carry(source, Address("udp", "b", 5683), encode_datagram(forged))
        await asyncio.sleep(1)
        assert world.b.closed == ["its keys have seen too many forgeries"]
        await world.close()

    run_virtual(scenario())


def test_worn_out_keys_end_their_session() -> None:
    async def scenario() -> None:
        world = await pair(Network())
        world.from_a.context.protected = MAX_MESSAGES
        with pytest.raises(Unavailable):
            await world.from_a.request(klp())
        assert len(world.a.closed) == 1
        await world.close()

    run_virtual(scenario())


def test_an_abandoned_upload_gives_its_memory_back() -> None:
    async def scenario() -> None:
        world = await pair(Network())
        upload = asyncio.ensure_future(world.from_a.request(klp(bytes(40_000))))
        await asyncio.sleep(0.01)
        upload.cancel()
        assert world.from_b.held > 0
        await asyncio.sleep(130)
        assert world.from_b.held == 0
        await world.close()

    run_virtual(scenario())


def test_a_forged_reset_fails_no_request() -> None:
    async def scenario() -> None:
        network = Network()
        world = await pair(network)
        world.b.delay = 3.0

        def forge(source: Address, target: Address, data: bytes) -> None:
            if source.host == "a" and data[0] >> 4 == 4:
                reset = b"\x70\x00" + data[2:4]
                loop = asyncio.get_running_loop()
                loop.call_soon(world.a_datagrams.receiver.datagram_received, target, reset)  # type: ignore[union-attr]

        network.tap = forge
        assert (await world.from_a.request(klp())).ok
        await world.close()

    run_virtual(scenario())


def test_an_answer_too_long_for_the_algorithm_is_our_own_mistake() -> None:
    async def scenario() -> None:
        world = await pair(Network(), stream=True, aead=CCM)
        await world.from_a.alive()
        world.b.answer = lambda request: Response(CHANGED, bytes(65_536))
        assert (await world.from_a.request(klp())).code == coap.INTERNAL_ERROR
        world.b.answer = lambda request: Response(CHANGED, options=((12, b"x" * 70_000),))
        assert (await world.from_a.request(klp())).code == coap.INTERNAL_ERROR
        await world.close()

    run_virtual(scenario())
