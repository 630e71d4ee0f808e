"""Volatile topics between whole nodes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kos_edge.delivery.wire import Reason
from kos_edge.klp.body import Data
from kos_edge.klp.pack import Class, Message, Pack, Priority
from kos_edge.node.publisher import Terms
from kos_edge.testing import in_virtual_time
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


def make_volatile(machine: Machine, *topics: str) -> None:
    for topic in topics:
        machine.node._terms[topic] = Terms("hub", Class(Priority.NORMAL, durable=False), 0.1, None)


@in_virtual_time
async def test_what_was_sent_does_not_count_against_the_limit_of_the_queue(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        make_volatile(edge, "live.value")
        for value in range(5):
            await edge.publish("live.value", value)
        assert edge.node.publisher._gathered == {}


@in_virtual_time
async def test_a_pack_with_one_message_that_is_not_allowed_hands_the_others_over_once(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        make_volatile(edge, "live.good", "live.bad")
        hub.node.inbound._denied = lambda pack, *_: {  # type: ignore[method-assign]
            seq: Reason.REFUSED
            for seq, item in pack.messages()
            if isinstance(item, Message) and item.topic == "live.bad"
        }
        heard: list[Pack] = []
        hub.node.inbound._push = heard.append
        link = edge.node.peers.links[hub.kid]
        before = link.courier.counters.shipments
        topics = ("live.good", "live.bad")
        await asyncio.gather(*(edge.node.publisher.enqueue(topic, Data(1)) for topic in topics))
        await asyncio.sleep(10)
        assert link.courier.counters.shipments == before + 1
        (pack,) = heard
        assert [item.topic for _, item in pack.messages() if isinstance(item, Message)] == ["live.good"]
