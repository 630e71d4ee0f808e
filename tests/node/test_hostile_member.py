"""What a member that means harm can say over its own session, and what comes of it: nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from kos_edge.delivery.wire import Answer, Parcel, Receipt, encode_answer, encode_ship
from kos_edge.errors import Unavailable
from kos_edge.klp import cbor
from kos_edge.klp.pack import Position
from kos_edge.node.inbound import KLP_PATH, MAX_PENDING, TRUST_PATH
from kos_edge.testing import in_virtual_time
from kos_edge.transport.address import Address
from kos_edge.transport.coap import CHANGED, POST, SERVICE_UNAVAILABLE, Request
from kos_edge.transport.memory import PORT
from kos_edge.transport.oscore import MAX_FAILURES
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


async def linked_members(world: World, hub: Machine) -> tuple[Machine, Machine]:
    """Two members with a session between them, cut off from their hub."""
    victim, enemy = await world.member(hub, "victim"), await world.member(hub, "enemy")
    for one, other in ((victim, enemy), (enemy, victim)):
        member = other.node.trust.membership
        assert member is not None
        one.node.trust.learn(member)
    victim.node.peers.heard(world.sighting(enemy))
    await victim.publish("note.x", 1, audience=f"kid:{enemy.kid.hex()}")
    await world.until(lambda: victim.linked(enemy) and enemy.linked(victim))
    world.isolate(hub)
    return victim, enemy


@in_virtual_time
async def test_a_pack_brought_back_to_its_source_does_not_move_its_numbering_back(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        for value in (1, 2):
            await edge.publish("air.temperature", value)
        await world.drained(edge)
        first = next(
            entry.pack.raw
            for entry in hub.node.writer.store.packs.read(0)
            if entry.pack.stream.source == edge.kid
        )
        session = hub.node.peers.links[edge.kid].session
        await session.request(Request(POST, KLP_PATH, encode_ship([Parcel(first, 0)])))
        (ident,) = await edge.publish("air.temperature", 3)
        assert Position.parse(ident).seq == 3
        await world.drained(edge)
        assert await hub.values() == [1, 2, 3]


@in_virtual_time
async def test_a_receipt_for_what_is_owed_to_others_lets_nothing_go(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        victim, enemy = await linked_members(world, hub)
        await victim.publish("air.temperature", 21.5)
        stream = next(
            owed.stream for owed in victim.node.writer.store.outbox.owed() if owed.stream.audience == "hub"
        )

        async def lie(*_: object) -> bytes:
            return encode_answer(Answer((Receipt(stream, 10**9),)))

        enemy.node.inbound._ship = lie  # type: ignore[method-assign, assignment]
        await victim.publish("note.x", 2, audience=f"kid:{enemy.kid.hex()}")
        await world.settled()
        assert stream in [owed.stream for owed in victim.node.writer.store.outbox.owed()]


@in_virtual_time
async def test_whoever_hands_its_own_revocation_over_with_garbage_is_cut_off_all_the_same(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        victim, enemy = await linked_members(world, hub)
        await hub.operations.revoke(who="enemy")
        (revocation,) = hub.node.trust.revocations.of(enemy.kid)
        body = cbor.encode({1: {}, 2: [revocation.raw], 3: [b"garbage"], 4: 0})
        session = enemy.node.peers.links[victim.kid].session
        with pytest.raises(Unavailable):
            await session.request(Request(POST, TRUST_PATH, body))
        peers = [getattr(session.peer, "kid", None) for session in victim.node.endpoint.sessions]
        assert enemy.kid not in peers


@in_virtual_time
async def test_a_member_that_shakes_hands_in_a_loop_keeps_two_sessions_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge, other = await world.member(hub, "edge"), await world.member(hub, "other")
        peers = hub.node.peers
        before = len(peers._tasks)
        for _ in range(100):
            reached = await edge.node.handshakes.reach(Address("udp", hub.address, PORT), kid=hub.kid)
            request = Request(POST, TRUST_PATH, edge.node.trust.news_request())
            await reached.session.request(request, handshake=reached.message_3)
            mine = [s for s in hub.node.endpoint.sessions if getattr(s.peer, "kid", None) == edge.kid]
            assert len(mine) <= 2
            assert len(peers._tasks) <= before + 8
        await other.publish("air.temperature", 1)
        await world.drained(other)
        await world.settled()
        assert len(peers._retiring) <= 1


@in_virtual_time
async def test_a_receiver_that_asks_for_made_up_members_is_told_of_none_and_costs_no_memory(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        link = edge.node.peers.links[hub.kid]
        for number in range(100):
            kids = tuple((number << 16 | n).to_bytes(16, "big") for n in range(1_000))
            await link._introduce(Answer((), 0, (*kids, edge.kid)))
        assert link._told == {edge.kid}


@in_virtual_time
async def test_keys_that_are_nearly_worn_out_are_replaced_while_the_session_works(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        session = edge.node.peers.links[hub.kid].session
        session.context.failures = MAX_FAILURES >> 1
        await edge.publish("air.temperature", 1)
        await world.until(lambda: edge.node.peers.links[hub.kid].session is not session)
        assert edge.linked(hub)
        await edge.publish("air.temperature", 2)
        await world.drained(edge)
        assert await hub.values() == [1, 2]


@in_virtual_time
async def test_a_member_that_fills_the_room_for_shipments_leaves_others_their_share(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge, enemy = await world.member(hub, "edge"), await world.member(hub, "enemy")
        hub.node.inbound._pending[enemy.kid] = MAX_PENDING
        await edge.publish("air.temperature", 1, 2)
        await world.drained(edge, within=3.0)
        await enemy.publish("air.temperature", 3)
        await asyncio.sleep(5)
        assert enemy.node.writer.store.outbox.usage.messages == 1
        assert hub.node.inbound.counters["told to wait"] > 0
        del hub.node.inbound._pending[enemy.kid]
        await world.drained(enemy)
        assert await hub.values() == [1, 2, 3]


@in_virtual_time
async def test_a_member_that_has_signatures_checked_in_a_loop_is_told_to_come_later(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge, enemy = await world.member(hub, "edge"), await world.member(hub, "enemy")
        session = enemy.node.peers.links[hub.kid].session
        body = enemy.node.trust.news_request([hub.membership.cwt])
        codes = Counter[int]()
        for _ in range(1_500):
            codes[(await session.request(Request(POST, TRUST_PATH, body), confirmable=True)).code] += 1
        assert codes[CHANGED] > 500, "as after years apart"
        assert codes[SERVICE_UNAVAILABLE] > 100
        assert hub.node.inbound.counters["trust withheld"] == codes[SERVICE_UNAVAILABLE]
        other = edge.node.peers.links[hub.kid].session
        assert (await other.request(Request(POST, TRUST_PATH, body), confirmable=True)).code == CHANGED
        assert hub.linked(edge, enemy)
