"""The browser with hostile packets, given to zeroconf as if they had come from the link."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator

import pytest
from zeroconf import DNSIncoming
from zeroconf.asyncio import AsyncZeroconf

from kos_edge.discovery.browser import MOST_PENDING, Browser
from kos_edge.discovery.sighting import SERVICE, Event, Found, Lost
from kos_edge.discovery.sightings import Sightings
from tests.discovery.forge import name, node, packets, record
from tests.fuzz.mutation import mutated


class World:
    """zeroconf on the loopback, a browser, and what the browser has said."""

    def __init__(self, zeroconf: AsyncZeroconf, limit: int = 100) -> None:
        self.said: list[Event] = []
        self.sightings = Sightings(limit)
        self.browser = Browser(zeroconf.zeroconf, self.sightings, self.said.append)
        self._zeroconf = zeroconf.zeroconf

    def hear(self, packet: bytes) -> None:
        message = DNSIncoming(packet, ("127.0.0.1", 5353))
        if message.valid and not message.is_query():
            self._zeroconf.record_manager.async_updates_from_response(message)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
    await zeroconf.zeroconf.async_wait_for_start()
    world = World(zeroconf)
    world.browser.start(own=None, loopback=False)
    yield world
    world.browser.close()
    await zeroconf.async_close()


def response(*records: bytes) -> bytes:
    return struct.pack("!6H", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def kid(number: int) -> bytes:
    return number.to_bytes(16, "big")


async def test_records_in_any_order_and_in_packets_of_their_own_make_a_whole(world: World) -> None:
    pointer, service, text, address = node(7)
    for part in (pointer, address, text, service, address):
        world.hear(response(part))
    world.hear(response(pointer, service, text, address))
    assert [event.kid_claimed for event in world.said if isinstance(event, Found)] == [kid(7)]


async def test_a_goodbye_is_heard_and_what_ran_out_is_none(world: World) -> None:
    world.hear(response(*node(7)))
    world.hear(response(record(SERVICE, 12, name(f"{7:032x}.{SERVICE}"), ttl=0)))
    assert world.said[-1] == Lost(kid(7))


async def test_names_that_do_not_survive_being_text_stop_nothing(world: World) -> None:
    label = bytes([63]) + b"\xff" * 63
    strange = label + name("local.")
    instance = f"{8:032x}.{SERVICE}"
    world.hear(response(record(SERVICE, 12, label + name(SERVICE))))
    world.hear(
        response(
            record(SERVICE, 12, name(instance)),
            record(instance, 33, struct.pack("!HHH", 0, 0, 5683) + strange),
        )
    )
    world.hear(response(*node(9)))
    world.browser._ask()
    assert [event.kid_claimed for event in world.said if isinstance(event, Found)] == [kid(9)]


async def test_names_without_the_rest_are_bounded(world: World) -> None:
    for number in range(3 * MOST_PENDING):
        world.hear(response(record(SERVICE, 12, name(f"{number:032x}.{SERVICE}"))))
    assert len(world.browser._speakers) <= MOST_PENDING
    assert world.said == []


async def test_long_lived_forged_records_hide_nobody(world: World) -> None:
    """zeroconf's cache, full of them, would drop the short-lived address of a node as soon as it comes."""
    for packet in packets(4_000):
        world.hear(packet)
        await asyncio.sleep(0)
    late = [record(owner, kind, data, ttl) for owner, kind, data, ttl in late_node()]
    world.sightings._allowance = 1
    world.hear(response(*late))
    assert isinstance(world.said[-1], Found)
    assert world.said[-1].kid_claimed == kid(0xFFFFFF)


def late_node() -> list[tuple[str, int, bytes, int]]:
    instance = f"{0xFFFFFF:032x}.{SERVICE}"
    return [
        ("late.local.", 1, bytes([192, 0, 2, 9]), 120),
        (instance, 33, struct.pack("!HHH", 0, 0, 5683) + name("late.local."), 120),
        (instance, 16, b"\x03v=1", 4500),
        (SERVICE, 12, name(instance), 4500),
    ]


async def test_no_packet_makes_an_error_escape(world: World) -> None:
    chance = random.Random(1)
    seeds = (*packets(60), response(*node(7)), response(*(record(*part) for part in late_node())))
    for _ in range(3_000):
        world.hear(mutated(chance.choice(seeds), seeds, chance))
        await asyncio.sleep(0)
    world.browser._ask()
    assert len(world.sightings) <= 100
    assert len(world.browser._speakers) <= 100 + MOST_PENDING
