"""What a member sends over a good session may be anything: it is answered, and changes nothing that it may not."""

from __future__ import annotations

import logging
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kos_edge.delivery.wire import Offer, Parcel, Sync, encode_ship, encode_sync
from kos_edge.klp import cbor
from kos_edge.klp.body import Data
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Class, Message, Packer, Stream, peek
from kos_edge.node.inbound import KLP_PATH, SYNC_PATH, TRUST_PATH
from kos_edge.node.statedir import STORE_NAME
from kos_edge.testing import in_virtual_time
from kos_edge.transport.coap import BAD_REQUEST, CHANGED, GET, NOT_FOUND, POST, SERVICE_UNAVAILABLE, Request
from kos_edge.transport.session import Session
from tests.fuzz.mutation import mutated
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

PATHS = (KLP_PATH, SYNC_PATH, TRUST_PATH)
ROUNDS = 600
LONGEST = 3_000  # bytes: three blocks


def session_of(edge: Machine, hub: Machine) -> Session:
    return edge.node.peers.links[hub.kid].session


def sealed(
    key: KeyPair,
    mesh: bytes,
    *,
    audience: str = "hub",
    first: int = 1,
    epoch: int = 5 << 32,
    prev: bytes | None = None,
) -> bytes:
    packer = Packer(Stream(key.kid, audience, Class(), epoch), first)
    packer.add(Message("air.temperature", Data(21.5)))
    return packer.seal(prev=prev, mono_ms=0, wall_ms=None, uncertainty_ms=None, key=key, mesh=mesh)


def kept(machine: Machine, *tables: str) -> list[str]:
    """What its store holds, as SQL."""
    with closing(sqlite3.connect(machine.state / STORE_NAME)) as database:
        lines = list(database.iterdump())
    return [line for line in lines if not tables or any(f'INTO "{table}"' in line for table in tables)]


def bodies(lot: random.Random, good: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Noise, CBOR of the wrong shape, and good bodies that were damaged."""
    shapes: list[object] = [
        None,
        0,
        -1,
        2**63,
        "",
        b"",
        [],
        {},
        [[]],
        {1: 1},
        {1: [[]], 2: 0},
        [[None, b""]],
        {2: [b"x"], 3: [b"y"]},
    ]
    for path in PATHS:
        yield from ((path, cbor.encode(shape)) for shape in shapes)
        yield path, b""
        yield path, good[path] + b"\0"
        yield from ((other, good[path]) for other in PATHS if other != path)
        for _ in range(ROUNDS):
            if lot.random() < 0.8:
                yield path, mutated(good[path], tuple(good.values()), lot)[:LONGEST]
            else:
                yield path, lot.randbytes(lot.randrange(200))


@pytest.mark.parametrize("seed", range(2))
def test_no_body_breaks_a_node_or_changes_what_is_not_the_senders(
    seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    @in_virtual_time
    async def story() -> None:
        async with World(tmp_path, seed=seed) as world:
            hub = await world.hub()
            other, edge = await world.member(hub, "other"), await world.member(hub, "edge")
            await other.publish("air.temperature", 1, 2, 3)
            await world.drained(other)
            key, mesh = edge.node.trust.key, hub.mesh
            one = sealed(key, mesh)
            two = sealed(key, mesh, first=2, prev=peek(one).chain_hash)
            good = {
                KLP_PATH: encode_ship([Parcel(one, 5), Parcel(two, None)]),
                SYNC_PATH: encode_sync(
                    Sync((Offer(Stream(key.kid, "hub", Class(), 7 << 32), 1, 9),), 7 << 32)
                ),
                TRUST_PATH: edge.node.trust.news_request([other.membership.cwt]),
            }
            await world.settled()
            session = session_of(edge, hub)
            before = kept(hub, "record", "meta", "dead"), (await hub.received())
            codes = set()
            for path, body in bodies(random.Random(seed), good):
                response = await session.request(Request(POST, path, body), confirmable=True)
                codes.add(response.code)
            assert codes <= {CHANGED, BAD_REQUEST, SERVICE_UNAVAILABLE}
            assert kept(hub, "record", "meta", "dead") == before[0]
            arrived = await hub.received()
            assert [id for id in arrived if id.startswith(other.kid.hex())] == before[1]
            assert {id[:32] for id in arrived} <= {other.kid.hex(), edge.kid.hex()}
            assert hub.linked(edge, other)
            await other.publish("air.temperature", 4)
            await world.drained(other)
            assert (await hub.received())[-1] == other.acknowledged[-1]

    with caplog.at_level(logging.DEBUG, logger="kos_edge"):
        story()
    assert not [record for record in caplog.records if record.exc_info], "something was raised"


@in_virtual_time
async def test_other_paths_and_methods_are_not_there(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        session = session_of(edge, hub)
        before = kept(hub)
        for code, path in (
            (GET, "/klp"),
            (POST, "/"),
            (POST, "/klp/x"),
            (POST, "/join"),
            (GET, "/.well-known/core"),
        ):
            response = await session.request(Request(code, path, b"\xa0"), confirmable=True)
            assert response.code == NOT_FOUND, path
        assert kept(hub) == before


@in_virtual_time
async def test_a_pack_that_another_key_signed_or_that_is_not_for_here_is_not_kept(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge, other = await world.member(hub, "edge"), await world.member(hub, "other")
        key, mesh = edge.node.trust.key, hub.mesh
        stranger = KeyPair.from_seed(bytes(32))
        good = sealed(key, mesh)
        forged = good[:-20] + bytes(20)
        session = session_of(edge, hub)
        for pack in (
            forged,
            sealed(stranger, mesh),
            sealed(key, bytes(32)),
            sealed(key, mesh, audience=f"kid:{other.kid.hex()}"),
        ):
            response = await session.request(
                Request(POST, KLP_PATH, encode_ship([Parcel(pack)])), confirmable=True
            )
            assert response.code == CHANGED
        assert await hub.received() == []


@in_virtual_time
async def test_a_member_cannot_move_the_positions_of_another_one(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge, other = await world.member(hub, "edge"), await world.member(hub, "other")
        world.isolate(other)
        await other.publish("air.temperature", 1, 2, 3)
        (owed,) = other.node.writer.store.outbox.owed()
        body = encode_sync(Sync((Offer(owed.stream, 4, 9),), owed.stream.epoch))
        await session_of(edge, hub).request(Request(POST, SYNC_PATH, body), confirmable=True)
        world.network.heal()
        await world.drained(other)
        assert await hub.values() == [1, 2, 3]
