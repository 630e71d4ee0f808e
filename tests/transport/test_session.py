"""Sessions between two endpoints over wires in memory, in virtual time."""

from __future__ import annotations

import asyncio
import random

import pytest

from kos_edge.errors import Refused, Unavailable
from kos_edge.testing.loop import run_virtual
from kos_edge.transport import coap
from kos_edge.transport.address import Address
from kos_edge.transport.coap import CHANGED, POST, Request, Response
from kos_edge.transport.faults import Faults
from kos_edge.transport.memory import Network
from kos_edge.transport.session import Session
from tests.transport.world import CCM, CHACHA, klp, pair

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


@pytest.mark.may_block("byte by byte, 64 KiB are 65,536 pieces in one turn of the loop")
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


def test_an_unknown_critical_option_is_answered_under_protection() -> None:
    async def scenario() -> None:
        world = await pair(Network())
        response = await world.from_a.request(Request(POST, "/klp", options=((9_999, b""),)))
        assert response.code == coap.BAD_OPTION
        assert world.b.requests == []
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
