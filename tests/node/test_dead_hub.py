"""The hub's card dies: a new hub from the recovery file has the members and what they still hold, nobody is visited."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from kos_edge.errors import Refused
from kos_edge.klp.identity import kid_text
from kos_edge.mesh.membership import verify_membership
from kos_edge.node.authority import bring, export, make_hub, rotate
from kos_edge.node.initialize import RECOVERY_NAME
from kos_edge.node.statedir import STORE_NAME
from kos_edge.store.store import Store
from kos_edge.testing import in_virtual_time
from kos_edge.testing.loop import EPOCH
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

SECRET = "of no importance"


def new_card(hub: Machine, *, replaces: bool = True, stolen: str | None = None, at: float = EPOCH) -> None:
    """The hub does not run; its state is gone but for the recovery file, which was kept elsewhere."""
    recovery = (hub.state / RECOVERY_NAME).read_bytes()
    shutil.rmtree(hub.state)
    make_hub(hub.state, "hub", recovery, SECRET, replaces=replaces, stolen=stolen, wall=lambda: at)


@pytest.mark.parametrize("at", [EPOCH, 0.0], ids=["clock set", "clock not set"])
def test_the_mesh_comes_back_and_what_edges_hold_arrives(at: float, tmp_path: Path) -> None:
    @in_virtual_time
    async def story() -> None:
        async with World(tmp_path) as world:
            hub = await world.hub()
            north, south = await world.member(hub, "north"), await world.member(hub, "south")
            await north.publish("air.temperature", 1)
            await world.drained(north)
            old = hub.kid
            await hub.stop()
            await north.publish("air.temperature", 2, 3)
            await south.publish("air.temperature", 4)
            await south.kill()
            await south.start()
            new_card(hub, at=at)
            await hub.start()
            assert hub.kid != old
            await world.drained(north, south)
            assert sorted(await hub.values(), key=str) == [2, 3, 4]
            for edge in (north, south):
                standing = {peer["kid"][-32:]: peer["standing"] for peer in await edge.operations.peers()}
                assert standing[hub.kid.hex()] == "member"
                assert standing[old.hex()] == "revoked", "another has its place"
                assert edge.node.trust.is_member
                assert not edge.node.peers.complaints()
            late = await world.member(hub, "late")
            await late.publish("air.temperature", 5)
            await north.publish("air.temperature", 6)
            await world.drained(late, north)
            assert sorted(await hub.values(), key=str) == [2, 3, 4, 5, 6]
            await north.kill()
            await north.start()
            await north.publish("air.temperature", 7)
            await world.drained(north)

    story()


@in_virtual_time
async def test_the_dead_hub_s_card_is_turned_away_when_it_comes_back(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await hub.stop()
        copy = world.machine("zombie", "hub")
        shutil.rmtree(copy.state)
        shutil.copytree(hub.state, copy.state)
        new_card(hub)
        await hub.start()
        await world.until(lambda: edge.linked(hub))
        await copy.start(peers=[edge, hub])
        await world.settled()
        assert not edge.linked(copy)
        assert not hub.linked(copy)


@in_virtual_time
async def test_a_second_hub_takes_newcomers_beside_the_first(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        second = world.machine("attic", "hub")
        shutil.rmtree(second.state)
        recovery = (hub.state / RECOVERY_NAME).read_bytes()
        make_hub(second.state, "attic", recovery, SECRET)
        await second.start(peers=[hub])
        guest = await world.member(second, "guest")
        await guest.publish("air.temperature", 1)
        await world.drained(guest)
        assert await second.values() == [1]
        assert edge.linked(hub), "nothing has changed for the others"


@in_virtual_time
async def test_a_stolen_hub_is_revoked_and_with_it_whom_it_admitted(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await edge.publish("air.temperature", 1)
        await world.drained(edge)
        old = hub.kid
        await hub.stop()
        await edge.publish("air.temperature", 2)
        new_card(hub, stolen=old.hex())
        await hub.start()
        await world.settled()
        assert not hub.linked(edge)
        assert hub.node.trust.revocations.is_revoked(old)
        assert edge.node.writer.store.outbox.usage.messages == 1, "it is kept until it is admitted anew"


@in_virtual_time
async def test_the_authority_s_key_is_changed_and_everything_goes_on(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await hub.stop()
        moved = tmp_path / "moved.recovery"
        report = export(hub.state, moved, SECRET, remove=True)
        assert not (hub.state / RECOVERY_NAME).exists()
        with pytest.raises(Refused, match="passphrase"):
            bring(hub.state, moved, "another one")
        bring(hub.state, moved, SECRET)
        old = moved.read_bytes()
        rotated = rotate(hub.state, SECRET, wall=lambda: EPOCH)
        assert (rotated["mesh"], rotated["rotations"]) == (report["mesh"], 1)
        await hub.start()
        await edge.publish("air.temperature", 1)
        await world.drained(edge)
        guest = await world.member(hub, "guest")
        await guest.publish("air.temperature", 2)
        await world.drained(guest)
        await hub.stop()
        new_card(hub)
        await hub.start()
        await edge.publish("air.temperature", 3)
        await guest.publish("air.temperature", 4)
        await world.drained(edge, guest)
        assert sorted(await hub.values(), key=str) == [3, 4]
        made = make_hub(tmp_path / "attic", "attic", old, SECRET, wall=lambda: EPOCH)
        with contextlib.closing(Store(tmp_path / "attic" / STORE_NAME)) as store:
            member = verify_membership(store.database.get("membership") or b"", edge.node.trust.mesh or b"")
        assert kid_text(member.kid) == made["kid"]
        assert not edge.node.trust.barred(member), (
            "the old key stays good: docs/members.md says what that means"
        )
