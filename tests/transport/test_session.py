"""Sessions between two endpoints over wires in memory, in virtual time."""

from __future__ import annotations

import asyncio
import random

import pytest

from kos_edge.errors import Misuse, Refused, Unavailable
from kos_edge.testing.loop import run_virtual
from kos_edge.transport import coap
from kos_edge.transport.address import Address
from kos_edge.transport.coap import CHANGED, POST, Request, Response
from kos_edge.transport.endpoint import HINT_INTERVAL
from kos_edge.transport.faults import Faults
from kos_edge.transport.memory import Network
from kos_edge.transport.oscore import MAX_FAILURES, MAX_MESSAGES
from kos_edge.transport.session import Session
from kos_edge.transport.wire import decode_datagram, encode_datagram
from tests.transport.world import CCM, CHACHA, keys_of_both, klp, pair

WIRES = {
    "perfect": Faults(),
    "slow": Faults(delay=0.5),
    "lossy": Faults(loss=0.1, delay=0.02),
    "duplicating": Faults(duplicate=0.5, delay=0.02),
    "reordering": Faults(reorder=0.5, delay=0.02),
    "corrupting": Faults(corrupt=0.2, delay=0.02),
    "all at once": Faults(0.1, 0.1, 0.3, 0.02, 0.02, 0.02),
}


TRUE_WIRES = [name for name, faults in WIRES.items() if not faults.corrupt]


@pytest.mark.parametrize("aead", [CCM, CHACHA])
@pytest.mark.parametrize("wire", TRUE_WIRES)
def test_each_confirmable_request_is_handled_once_and_answered(wire: str, aead: int) -> None:
    async def scenario() -> None:
        world = await pair(Network(seed=11, faults=WIRES[wire]), aead=aead)
        bodies = [b"%d" % number for number in range(40)]

        async def ask(session: Session, body: bytes) -> None:
            response = await session.request(klp(body), timeout=120)
            assert response == Response(CHANGED, b"got " + body)

        await asyncio.gather(*(ask(world.from_a, body) for body in bodies))
        await asyncio.gather(*(ask(world.from_b, body) for body in bodies))
        assert sorted(request.payload for request in world.b.requests) == sorted(bodies)
        assert sorted(request.payload for request in world.a.requests) == sorted(bodies)
        await world.close()

    run_virtual(scenario())


@pytest.mark.parametrize("wire", sorted(set(WIRES) - set(TRUE_WIRES)))
def test_where_bits_flip_a_request_is_handled_at_most_once_and_nearly_always_answered(wire: str) -> None:
    # Message id and token are outside the keys' protection. When just they are damaged the request is taken
    # and its answer goes to nobody, and the good copy is a replay: for the caller that is no answer, not a
    # wrong one.
    async def scenario() -> None:
        world = await pair(Network(seed=3, faults=WIRES[wire]))

        async def ask(number: int) -> bool:
            try:
                response = await world.from_a.request(klp(b"%d" % number), timeout=120)
            except Unavailable:
                return False
            assert response == Response(CHANGED, b"got %d" % number)
            return True

        answered = sum(await asyncio.gather(*(ask(number) for number in range(200))))
        taken = [request.payload for request in world.b.requests]
        assert len(set(taken)) == len(taken) >= answered >= 180
        await world.close()

    run_virtual(scenario())


@pytest.mark.parametrize("wire", WIRES)
def test_a_non_confirmable_request_is_handled_at_most_once(wire: str) -> None:
    async def scenario() -> tuple[int, int]:
        world = await pair(Network(seed=5, faults=WIRES[wire]))

        async def ask(number: int) -> bool:
            try:
                await world.from_a.request(klp(b"%d" % number), confirmable=False, timeout=5)
            except Unavailable:
                return False
            return True

        answered = sum(await asyncio.gather(*(ask(number) for number in range(500))))
        taken = [request.payload for request in world.b.requests]
        assert len(set(taken)) == len(taken)
        await world.close()
        return answered, len(taken)

    answered, taken = run_virtual(scenario())
    assert answered <= taken
    assert answered >= 250
    if wire in ("perfect", "slow", "duplicating", "reordering"):
        assert answered == taken == 500


@pytest.mark.parametrize("wire", TRUE_WIRES)
def test_a_large_request_goes_in_blocks_over_datagrams(wire: str) -> None:
    async def scenario() -> None:
        world = await pair(Network(seed=2, faults=WIRES[wire]))
        bodies = [random.Random(n).randbytes(size) for n, size in enumerate((1_025, 5_000, 20_000))]
        asked = (world.from_a.request(klp(body), timeout=100) for body in bodies)
        answers = await asyncio.gather(*asked)
        assert [answer.options for answer in answers] == [(), (), ()]
        assert sorted(request.payload for request in world.b.requests) == sorted(bodies)
        await world.close()

    run_virtual(scenario())


@pytest.mark.parametrize("chunk", [1, 7, 16_384])
def test_over_a_stream_64_kib_are_one_message_however_it_is_chopped(chunk: int) -> None:
    async def scenario() -> None:
        world = await pair(Network(faults=Faults(chunk=chunk)), stream=True)
        await world.from_a.alive()
        before = world.from_a.context.protected
        body = random.Random(1).randbytes(65_536)
        assert (await world.from_a.request(klp(body))).ok
        assert world.from_a.context.protected - before == 1
        assert world.b.requests[-1].payload == body
        assert (await world.from_b.request(klp(b"the other way"))).ok
        await world.close()

    run_virtual(scenario())


def test_a_stream_under_aes_ccm_takes_64_kib_in_blocks() -> None:
    async def scenario() -> None:
        world = await pair(Network(), stream=True, aead=CCM)
        await world.from_a.alive()
        assert (await world.from_a.request(klp(bytes(65_536)))).ok
        assert world.b.requests[-1].payload == bytes(65_536)
        await world.close()

    run_virtual(scenario())


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


def test_a_session_moves_with_its_peer() -> None:
    async def scenario() -> None:
        world = await pair(Network())
        await world.from_a.request(klp(b"1"))
        world.a_datagrams.move("a-roaming", 40_000)
        assert (await world.from_a.request(klp(b"2"))).ok
        await asyncio.sleep(1)
        assert world.from_b.address == Address("udp", "a-roaming", 40_000)
        assert (await world.from_b.request(klp(b"back"))).ok
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


def test_closing_fails_what_waits_and_the_other_side_is_unknown_from_then_on() -> None:
    async def scenario() -> None:
        world = await pair(Network())
        world.b.delay = 5.0
        waiting = asyncio.ensure_future(world.from_a.request(klp()))
        await asyncio.sleep(1)
        world.from_a.close("revoked")
        with pytest.raises(Unavailable, match="revoked"):
            await waiting
        with pytest.raises(Unavailable, match="revoked"):
            await world.from_a.request(klp())
        assert world.a.closed == ["revoked"]
        assert world.a.endpoint.sessions == []
        with pytest.raises(Unavailable):
            await world.from_b.request(klp(), timeout=1)
        assert world.b.hints == 1
        await world.close()

    run_virtual(scenario())


def test_a_lost_connection_ends_the_session_on_both_sides() -> None:
    async def scenario() -> None:
        world = await pair(Network(), stream=True)
        await world.from_a.alive()
        world.network.partition("a", "b")
        waiting = asyncio.ensure_future(world.from_a.request(klp(), timeout=60))
        with pytest.raises(Unavailable):
            await waiting
        assert asyncio.get_running_loop().time() < 6
        assert world.a.closed == ["nothing was acknowledged for 5 s"]
        assert world.b.closed == ["nothing was acknowledged for 5 s"]
        await world.close()

    run_virtual(scenario())


def test_closing_a_session_on_a_stream_closes_its_connection() -> None:
    async def scenario() -> None:
        world = await pair(Network(), stream=True)
        world.from_a.close("done")
        await asyncio.sleep(1)
        assert world.b.closed == ["released by the other side"]
        assert world.a.endpoint.connections == world.b.endpoint.connections == []
        await world.close()

    run_virtual(scenario())


def test_a_partition_that_heals_in_time_loses_nothing_on_a_stream() -> None:
    async def scenario() -> None:
        world = await pair(Network(), stream=True)
        await world.from_a.alive()
        world.network.partition("a", "b")
        waiting = asyncio.ensure_future(world.from_a.request(klp(), timeout=60))
        await asyncio.sleep(4)
        world.network.heal()
        assert (await waiting).ok
        await world.close()

    run_virtual(scenario())


def test_a_handler_that_fails_is_told_to_the_peer_by_kind() -> None:
    async def scenario() -> None:
        world = await pair(Network())
        for error, code, text in (
            (Refused("revoked"), coap.FORBIDDEN, b"revoked"),
            (Unavailable("disk full"), coap.SERVICE_UNAVAILABLE, b"disk full"),
            (ValueError("inside"), coap.INTERNAL_ERROR, b""),
        ):

            def fail(request: Request, error: Exception = error) -> Response:
                raise error

            world.b.answer = fail
            assert await world.from_a.request(klp()) == Response(code, text)
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


def test_an_unknown_critical_option_is_answered_under_protection() -> None:
    async def scenario() -> None:
        world = await pair(Network())
        response = await world.from_a.request(Request(POST, "/klp", options=((9_999, b""),)))
        assert response.code == coap.BAD_OPTION
        assert world.b.requests == []
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


def test_a_stream_whose_requests_are_answered_slowly_is_read_slowly() -> None:
    async def scenario() -> int:
        world = await pair(Network(), stream=True)
        await world.from_a.alive()
        world.b.delay = 1.0
        ask = world.from_a.request
        asked = [asyncio.ensure_future(ask(klp(bytes(1_000)), timeout=100)) for _ in range(2_000)]
        await asyncio.sleep(0.5)
        first = len(world.b.requests)
        await asyncio.gather(*asked)
        assert len(world.b.requests) == 2_000
        await world.close()
        return first

    assert run_virtual(scenario()) < 200


def test_a_run_is_the_same_to_the_byte_each_time() -> None:
    def trace() -> list[tuple[float, str, bytes]]:
        seen: list[tuple[float, str, bytes]] = []

        async def scenario() -> None:
            network = Network(seed=9, faults=WIRES["all at once"])
            loop = asyncio.get_running_loop()
            network.tap = lambda source, target, data: seen.append((loop.time(), str(source), data))
            world = await pair(network)
            for number in range(30):
                await world.from_a.request(klp(b"%d" % number), timeout=100)
            await world.close()

        run_virtual(scenario())
        return seen

    assert trace() == trace()


def test_a_request_that_nobody_acknowledges_fails_when_it_is_given_up() -> None:
    async def scenario() -> None:
        world = await pair(Network())
        world.network.partition("a", "b")
        with pytest.raises(Unavailable, match="no acknowledgement"):
            await world.from_a.request(klp(), timeout=1_000)
        assert 62 <= asyncio.get_running_loop().time() <= 93  # RFC 7252 section 4.8.2
        assert world.a.hints == 1
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
