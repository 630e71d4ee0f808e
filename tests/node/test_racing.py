from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kos_edge.node.racing import first_of, ways_to
from kos_edge.testing.loop import run_virtual
from kos_edge.transport.address import Address

A, B, C, D = (Address("udp", f"192.0.2.{number}", 5683) for number in (1, 2, 3, 4))


class Peer:
    """Somebody who answers at one address, while nobody does at the others, which takes four seconds to notice."""

    def __init__(self, at: Address | None, *said: Address) -> None:
        self.at = at
        self.said = list(said)
        self.tried: list[tuple[float, Address]] = []

    async def reach(self, address: Address) -> Address | None:
        self.tried.append((asyncio.get_running_loop().time(), address))
        if address == self.at:
            return address
        await asyncio.sleep(4)
        return None

    async def addresses(self) -> list[Address]:
        return list(self.said)

    async def found(self, *first: Address, most: int = 9, spare: Callable[[Address], None] = print) -> object:
        ways = ways_to(
            first, said=lambda: tuple(self.said), others=self.addresses, most=most, reach=self.reach
        )
        return await first_of(ways, spare=spare)


def test_addresses_that_lead_elsewhere_cost_half_a_second_each() -> None:
    async def play() -> float:
        began = asyncio.get_running_loop().time()
        assert await Peer(D, A, B, C, D).found() == D
        return asyncio.get_running_loop().time() - began

    assert run_virtual(play()) == pytest.approx(1.5)


def test_an_address_heard_of_meanwhile_is_tried_in_the_same_round() -> None:
    async def play() -> float:
        peer, loop = Peer(B, A), asyncio.get_running_loop()
        began = loop.time()
        loop.call_later(1.2, peer.said.append, B)
        assert await peer.found() == B
        return loop.time() - began

    assert run_virtual(play()) < 2


def test_where_nobody_answers_each_was_tried_once_and_no_more_than_may_be() -> None:
    async def play() -> Peer:
        peer = Peer(None, A, B, C, D)
        assert await peer.found(D, most=2) is None
        return peer

    assert [address for _, address in run_virtual(play()).tried] == [D, A, B]
