"""The queue in a file: carried by hand where no link reaches, taken in once, settled by signed receipts alone."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path

import pytest

from kos_edge.delivery.carried import (
    FIRST_LINE,
    Carried,
    Carrier,
    Damaged,
    Kind,
    Unframer,
    framed,
    read_record,
    sign_receipts,
)
from kos_edge.delivery.wire import Offer, Parcel, Receipt, decode_ship, encode_ship
from kos_edge.errors import Invalid, Refused, Unavailable
from kos_edge.klp import cose
from kos_edge.klp.body import Intent
from kos_edge.klp.identity import KeyPair
from kos_edge.node.carrying import Taken
from kos_edge.node.sections import QueueSection
from kos_edge.testing import in_virtual_time
from kos_edge.testing.machine import Machine
from tests.node.world import World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


async def export(machine: Machine, audience: str | None = None) -> list[bytes]:
    """The records of a file of what waits."""
    async with aclosing(machine.node.carrying.write(audience)) as parts:
        data = b"".join([part.data async for part in parts])
    unframer = Unframer()
    records = list(unframer.receive(data))
    unframer.close()
    return records


async def take(machine: Machine, records: Iterable[bytes]) -> Taken:
    return await machine.node.carrying.take(b"".join(map(framed, records)))


async def receipts_of(machine: Machine, records: list[bytes]) -> list[bytes]:
    """What the machine says of the offers in a file."""
    taken = await take(machine, records[:2])
    return list(Unframer(begun=True).receive(taken.receipts))


async def apart(world: World, hub: Machine, edge: Machine, *values: object) -> list[str]:
    """Cut the wire, and let the edge publish."""
    world.isolate(edge)
    return await edge.publish("air.temperature", *values)


@in_virtual_time
async def test_what_no_link_brings_is_carried_and_let_go_of_by_its_receipts(tmp_path: Path) -> None:
    async with World(tmp_path, seed=1) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed")
        ids = await apart(world, hub, edge, *range(100))
        file = await export(edge)
        taken = await take(hub, file)
        assert (taken.carrier, taken.messages, taken.ended) == ("shed", 100, True)
        assert await hub.received() == ids
        assert edge.node.writer.store.outbox.usage.messages == 100
        back = await take(edge, await receipts_of(hub, file))
        assert back.settled == 100
        assert edge.node.writer.store.outbox.usage.messages == 0


@in_virtual_time
async def test_a_file_and_its_receipts_do_nothing_the_second_time(tmp_path: Path) -> None:
    async with World(tmp_path, seed=2) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed")
        first = await apart(world, hub, edge, 1, 2, 3)
        old = await export(edge)
        second = await edge.publish("air.temperature", 4, 5)
        new = await export(edge)
        await take(hub, new)
        again = await take(hub, old)
        assert (again.messages, again.duplicates) == (0, 1)
        assert await hub.received() == first + second
        receipts = await receipts_of(hub, old)
        for settled in (5, 0):
            assert (await take(edge, receipts)).settled == settled


@in_virtual_time
async def test_carried_twice_and_then_linked_nothing_arrives_again(tmp_path: Path) -> None:
    async with World(tmp_path, seed=3) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed")
        ids = await apart(world, hub, edge, *range(50))
        await take(hub, await export(edge))
        world.network.heal()
        await world.drained(edge)
        assert await hub.received() == ids


@in_virtual_time
async def test_a_hub_put_back_from_a_copy_takes_what_waits_without_what_it_has_lost(tmp_path: Path) -> None:
    async with World(tmp_path, seed=4) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed")
        await hub.stop()
        shutil.copytree(hub.state, tmp_path / "copy")
        await hub.start()
        await world.until(lambda: edge.linked(hub))
        await edge.publish("air.temperature", 1, 2, 3)
        await world.drained(edge)
        ids = await apart(world, hub, edge, 5, 6)
        file = await export(edge)
        await hub.stop()
        shutil.rmtree(hub.state)
        (tmp_path / "copy").rename(hub.state)
        await hub.start()
        assert (await take(hub, file)).messages == 2
        assert await hub.received() == ids


@in_virtual_time
async def test_what_a_file_has_no_room_for_is_counted_and_goes_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kos_edge.node.carrying.MAX_OFFERS", 2)
    async with World(tmp_path, seed=14) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed")
        ids = await apart(world, hub, edge, 1)
        for value in (2, 3):
            await edge.stop()
            await edge.start()
            ids += await edge.publish("air.temperature", value)
        async with aclosing(edge.node.carrying.write(None)) as parts:
            assert [(part.of, part.left_out) async for part in parts][-1] == (2, 1)
        file = await export(edge)
        await take(hub, file)
        await take(edge, await receipts_of(hub, file))
        await take(hub, await export(edge))
        assert await hub.received() == ids


@in_virtual_time
async def test_what_was_dropped_at_the_source_is_carried_as_its_tombstone(tmp_path: Path) -> None:
    async with World(tmp_path, seed=5) as world:
        hub = await world.hub()
        queue = QueueSection(max_messages=100, when_full="drop-oldest")
        edge = await world.member(hub, "shed", queue=queue)
        world.isolate(edge)
        for start in range(0, 300, 50):
            await edge.publish("air.temperature", *range(start, start + 50))
        taken = await take(hub, file := await export(edge))
        assert taken.messages + taken.gone == 300
        assert taken.gone >= 200
        await take(edge, await receipts_of(hub, file))
        assert not edge.node.writer.store.outbox.owed()


@in_virtual_time
async def test_a_node_takes_nothing_that_is_for_others(tmp_path: Path) -> None:
    async with World(tmp_path, seed=6) as world:
        hub = await world.hub()
        edge, other = await world.member(hub, "shed"), await world.member(hub, "barn")
        await apart(world, hub, edge, 1, 2)
        taken = await take(other, await export(edge))
        assert (taken.messages, taken.for_others, taken.receipts) == (0, 1, b"")
        assert await other.received() == []


@in_virtual_time
async def test_an_audience_is_exported_alone(tmp_path: Path) -> None:
    async with World(tmp_path, seed=7) as world:
        hub = await world.hub()
        edge, other = await world.member(hub, "shed"), await world.member(hub, "barn")
        world.isolate(edge)
        to = f"kid:{other.kid.hex()}"
        await edge.publish("air.temperature", 1)
        await edge.publish("air.temperature", 2, audience=to)
        taken = await take(hub, await export(edge, "hub"))
        assert (taken.messages, taken.for_others) == (1, 0)


@in_virtual_time
async def test_nobody_carries_a_file_back_into_the_node_that_wrote_it(tmp_path: Path) -> None:
    async with World(tmp_path, seed=8) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed")
        await apart(world, hub, edge, 1)
        file = await export(edge)
        with pytest.raises(Refused, match="written that file itself"):
            await take(edge, file)
        await take(hub, file)
        with pytest.raises(Refused, match="written these receipts itself"):
            await take(hub, await receipts_of(hub, file))


@in_virtual_time
async def test_a_file_of_another_mesh_changes_nothing(tmp_path: Path) -> None:
    async with World(tmp_path, seed=9) as world:
        hub, stranger = await world.hub(), await world.hub("other")
        edge = await world.member(stranger, "shed")
        await apart(world, stranger, edge, 1)
        file = await export(edge)
        with pytest.raises(Invalid, match="mesh"):
            await take(hub, file)
        with pytest.raises(Invalid, match="not in it, and not known here"):
            await take(hub, file[1:])
        assert await hub.received() == []


@in_virtual_time
async def test_nothing_is_taken_from_a_revoked_carrier(tmp_path: Path) -> None:
    async with World(tmp_path, seed=10) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed")
        await apart(world, hub, edge, 1)
        file = await export(edge)
        await hub.operations.revoke(who="shed")
        for records in (file, file[1:]):
            with pytest.raises(Refused, match="revoked"):
                await take(hub, records)
        assert await hub.received() == []


@in_virtual_time
async def test_only_who_a_message_is_for_settles_it(tmp_path: Path) -> None:
    async with World(tmp_path, seed=11) as world:
        hub = await world.hub()
        edge, other = await world.member(hub, "shed"), await world.member(hub, "barn")
        await apart(world, hub, edge, 1, 2)
        (owed,) = edge.node.writer.store.outbox.owed()
        claim = [Receipt(owed.stream, owed.last)]
        edge.node.trust.learn(other.membership)
        for key in (other.node.trust.key, KeyPair.from_seed(bytes(32))):
            forged = list(Unframer(begun=True).receive(sign_receipts(claim, key, edge.mesh, None)))
            if key is other.node.trust.key:
                assert (await take(edge, forged)).settled == 0
            else:
                with pytest.raises(Invalid, match="not known here"):
                    await take(edge, forged)
        other_mesh = sign_receipts(claim, hub.node.trust.key, bytes(32), None)
        with pytest.raises(Invalid):
            await edge.node.carrying.take(other_mesh)
        as_carried = Carrier(hub.node.trust.key, edge.mesh, bytes(8)).say(Kind.END, b"", None)
        signed = cose.read_sign1(next(Unframer(begun=True).receive(as_carried)))
        honest = next(Unframer(begun=True).receive(sign_receipts(claim, hub.node.trust.key, edge.mesh, None)))
        mixed = cose.assemble(
            cose.read_sign1(honest).protected, b"\xa0", cose.read_sign1(honest).payload, signed.signature
        )
        with pytest.raises(Invalid):
            await take(edge, [mixed])
        assert edge.node.writer.store.outbox.owed() == [owed]


@in_virtual_time
async def test_a_stick_cannot_make_what_it_carries_younger(tmp_path: Path) -> None:
    async with World(tmp_path, seed=12) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed")
        await apart(world, hub, edge, 1)
        file = await export(edge)
        ship = read_record(file[2])
        assert isinstance(ship, Carried)
        young = encode_ship([Parcel(pack, 0) for pack in packs_of(ship)])
        await world.sleep(60)
        later = read_record((await export(edge))[2])
        assert isinstance(later, Carried)
        assert later.content != young
        payload = later.signed.payload.replace(later.content, young)
        ship = later
        forged = cose.assemble(ship.signed.protected, b"\xa0", payload, ship.signed.signature)
        with pytest.raises(Invalid):
            await take(hub, [file[0], forged])


@pytest.mark.parametrize("clock", ["known", "unknown"])
@in_virtual_time
async def test_a_command_is_as_old_as_its_way_was_long(tmp_path: Path, clock: str) -> None:
    async with World(tmp_path, seed=13) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed")
        world.isolate(edge)
        future = edge.node.publisher.enqueue("valve.open", Intent("open"), ttl_s=600, linger_s=0.0)
        await future
        file = await export(edge)
        said = read_record(file[2])
        if clock == "unknown":
            parcels = encode_ship([Parcel(pack) for pack in packs_of(said)])
            carrier = Carrier(edge.node.trust.key, edge.mesh, bytes(8))
            file[2] = next(Unframer(begun=True).receive(carrier.say(Kind.SHIP, parcels, None)))
        await world.sleep(60)
        taken = await take(hub, file)
        if clock == "known":
            (entry,) = [e async for e in hub.node.feed.messages(0, follow=False)]
            assert taken.refused == 0
            assert entry.delivery.payload == Intent("open")
        else:
            assert taken.refused == 1


def packs_of(said: object) -> list[bytes]:
    assert isinstance(said, Carried)
    return [parcel.pack for parcel in decode_ship(said.content)]


@in_virtual_time
async def test_every_flipped_bit_and_every_end_is_damage_and_what_came_before_stands(tmp_path: Path) -> None:
    async with World(tmp_path, seed=14) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed")
        await apart(world, hub, edge, *range(20))
        file = FIRST_LINE + b"".join(map(framed, await export(edge)))
        lot = random.Random(14)
        for _ in range(200):
            at = lot.randrange(len(file) * 8)
            flipped = bytearray(file)
            flipped[at // 8] ^= 1 << at % 8
            with pytest.raises(Damaged):
                read_whole(bytes(flipped))
        for end in (0, 5, len(file) // 2, len(file) - 1):
            with pytest.raises(Damaged):
                read_whole(file[:end])
        with pytest.raises(Damaged, match="zeros"):
            read_whole(file + bytes(64))


def read_whole(file: bytes) -> list[bytes]:
    unframer = Unframer()
    records = list(unframer.receive(file))
    unframer.close()
    return records


@in_virtual_time
async def test_a_node_in_no_mesh_neither_writes_nor_reads(tmp_path: Path) -> None:
    async with World(tmp_path, seed=15) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed")
        await apart(world, hub, edge, 1)
        file = await export(edge)
        alone = world.machine("alone")
        await alone.start()
        with pytest.raises(Unavailable, match="no mesh"):
            await export(alone)
        with pytest.raises(Unavailable, match="no mesh"):
            await take(alone, file)


@in_virtual_time
async def test_offers_of_others_streams_move_nothing(tmp_path: Path) -> None:
    async with World(tmp_path, seed=16) as world:
        hub = await world.hub()
        edge, other = await world.member(hub, "shed"), await world.member(hub, "barn")
        await apart(world, hub, edge, *range(10))
        (owed,) = edge.node.writer.store.outbox.owed()
        lie = Carrier(other.node.trust.key, hub.mesh, bytes(8)).offer([Offer(owed.stream, 9, 10)], None)
        await hub.node.carrying.take(lie)
        assert (await take(hub, await export(edge))).messages == 10
