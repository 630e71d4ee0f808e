"""Memberships are renewed ahead of time, and the new one works before it takes the place of the old one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kos_edge.errors import Refused
from kos_edge.mesh.issuer import DAY_S, MEMBER_LIFETIME_S
from kos_edge.node.renewal import LOOK_S
from kos_edge.testing import in_virtual_time
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

DUE_S = MEMBER_LIFETIME_S * 2 / 3 + DAY_S


def later(seconds: float, *machines: Machine) -> None:
    for machine in machines:
        machine.clock.step_wall(seconds)


@in_virtual_time
async def test_it_is_renewed_four_months_ahead_over_a_session_that_never_ends(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await world.until(lambda: hub.linked(edge))
        old = edge.membership
        later(DUE_S - 2 * DAY_S, hub, edge)
        await asyncio.sleep(2 * LOOK_S)
        assert edge.membership == old
        later(2 * DAY_S, hub, edge)
        await world.until(lambda: edge.membership != old, within=2 * LOOK_S)
        assert edge.membership.not_after > old.not_after
        assert edge.node.trust.renewal.candidate is None
        await edge.publish("air.temperature", 1.0)
        await world.drained(edge)
        await edge.kill()
        await edge.start()
        assert edge.membership.not_after > old.not_after, "it is on disk"


@in_virtual_time
async def test_over_a_connection_that_never_ends_it_is_renewed_too_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub(streams=True)
        edge = await world.member(hub, "edge", streams=True)
        await edge.publish("air.picture", *("x" * 1_000 for _ in range(200)))
        await world.until(
            lambda: any(link.carrier == "tcp" for link in edge.node.peers.links.values()), within=600
        )
        await world.drained(edge)
        old = edge.membership
        later(DUE_S, hub, edge)
        await edge.publish("air.picture", *("y" * 1_000 for _ in range(200)))
        await world.until(lambda: edge.membership.not_after > old.not_after, within=2 * LOOK_S)
        await world.drained(edge)
        assert len(await hub.values()) == 400


@in_virtual_time
async def test_without_a_hub_it_stays_and_is_warned_of_before_its_end(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        old = edge.membership
        await hub.stop()
        later(MEMBER_LIFETIME_S - 20 * DAY_S, hub, edge)
        await asyncio.sleep(2 * LOOK_S)
        assert edge.membership == old
        warnings = (await edge.operations.status())["warnings"]
        assert any("this node's membership ends at" in text for text in warnings)
        await hub.start()
        await world.until(lambda: edge.membership != old, within=4 * LOOK_S)
        warnings = (await edge.operations.status())["warnings"]
        assert not any("membership ends at" in text for text in warnings)


@in_virtual_time
async def test_a_new_name_is_taken_up_once_a_handshake_has_shown_that_it_works(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await world.until(lambda: hub.linked(edge))
        before = edge.handshakes
        await hub.operations.rename(who="edge", name="shed")
        await world.until(lambda: edge.node.trust.name == "shed", within=60)
        assert edge.handshakes > before


@in_virtual_time
async def test_one_that_does_not_work_is_dropped_and_the_old_one_goes_on(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await world.until(lambda: hub.linked(edge))
        old = edge.membership
        admission = hub.node.trust.admission
        assert admission is not None
        later(60.0, hub, edge)
        new = admission.issuer.renew(edge.kid, at=hub.node.trust.at())
        check = hub.node.trust.check

        def picky(cwt: bytes) -> object:
            if cwt == new.cwt:
                raise Refused("this one is not good enough for me")
            return check(cwt)

        hub.node.trust.check = picky  # type: ignore[method-assign, assignment]
        edge.node.trust.learn(new)
        assert edge.node.trust.renewal.candidate == new
        await world.until(lambda: edge.node.trust.renewal.candidate is None, within=600)
        assert edge.membership == old
        await edge.publish("air.temperature", 1.0)
        await world.drained(edge)
        assert not edge.node.trust.learn(new), "it is not tried for ever"


@in_virtual_time
async def test_a_crash_between_the_gift_and_the_trial_loses_neither(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        old = edge.membership
        await hub.stop()
        later(60.0, hub, edge)
        await hub.start()
        admission = hub.node.trust.admission
        assert admission is not None
        world.isolate(edge)
        new = admission.issuer.renew(edge.kid, at=hub.node.trust.at())
        edge.node.trust.learn(new)
        await edge.node.save()
        await edge.kill()
        await edge.start()
        assert edge.membership == old
        assert edge.node.trust.renewal.candidate is not None
        world.network.mend(edge.address, hub.address)
        await world.until(lambda: edge.membership == new, within=600)
