"""The policy in force is asked of each source and topic, whatever comes with it in one shipment."""

from __future__ import annotations

from pathlib import Path

import pytest

from kos_edge.delivery.wire import Parcel
from kos_edge.klp.body import Data
from kos_edge.klp.pack import Class, Message, Stream, seal
from kos_edge.mesh.policy import Action, Policy, Rule
from kos_edge.testing import in_virtual_time
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


@in_virtual_time
async def test_of_one_shipment_each_source_gets_in_what_the_policy_lets_it_send(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        one, other = await world.member(hub, "one"), await world.member(hub, "other")
        rules = tuple(
            Rule(f"kid:{edge.kid.hex()}", Action.PUBLISH, filter, "hub")
            for edge, filter in ((one, "soil.#"), (other, "air.#"))
        )
        hub.node.trust.policy = Policy(2, 0, rules)
        shipment = [
            parcel(edge, *topics)
            for topics in (("soil.x",), ("air.x",), ("soil.x", "air.x"), ("soil.x",))
            for edge in (one, other)
        ]
        refused = [sorted(item.refused) for item in hub.node.inbound._check(shipment).packs]
        assert refused == [[], [1], [1], [], [2], [1], [], [1]]
        hub.node.trust.policy = Policy(3, 0, rules[1:])
        refused = [sorted(item.refused) for item in hub.node.inbound._check(shipment).packs]
        assert refused == [[1], [1], [1], [], [1, 2], [1], [1], [1]]


def parcel(edge: Machine, *topics: str) -> Parcel:
    """A pack of this member with one message on each topic."""
    raw = seal(
        Stream(edge.kid, "hub", Class(), 1 << 32),
        1,
        [Message(topic, Data(1)) for topic in topics],
        prev=None,
        mono_ms=1,
        wall_ms=None,
        uncertainty_ms=None,
        key=edge.node.trust.key,
        mesh=edge.mesh,
    )
    return Parcel(raw, 0)
