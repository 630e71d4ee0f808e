"""The loop whose time jumps, and the network in memory that runs on it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from kos_edge.errors import Unavailable
from kos_edge.testing.loop import Deadlock, VirtualLoop, run_virtual
from kos_edge.transport.address import Address
from kos_edge.transport.faults import Faults
from kos_edge.transport.memory import MemoryDatagrams, Network


def test_a_day_takes_no_time_and_timers_come_in_their_order() -> None:
    async def scenario() -> tuple[list[int], float]:
        order: list[int] = []

        async def wait(hours: int) -> None:
            await asyncio.sleep(3_600 * hours)
            order.append(hours)

        await asyncio.gather(*(wait(hours) for hours in (24, 1, 12, 3)))
        return order, asyncio.get_running_loop().time()

    start = time.monotonic()
    assert run_virtual(scenario()) == ([1, 3, 12, 24], 86_400.0)
    assert time.monotonic() - start < 5


def test_waiting_for_what_cannot_come_is_a_deadlock_that_names_who_waits() -> None:
    async def stuck() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock, match="stuck"):
        run_virtual(stuck())


def test_a_periodic_timer_does_not_keep_a_stuck_program_going_for_ever() -> None:
    async def stuck() -> None:
        loop = asyncio.get_running_loop()

        def tick() -> None:
            loop.call_later(3_600, tick)

        tick()
        await loop.create_future()

    with pytest.raises(Deadlock, match="virtual seconds"):
        run_virtual(stuck())


def test_work_for_a_thread_is_done_at_once_and_its_errors_come_back() -> None:
    async def scenario() -> None:
        assert await asyncio.to_thread(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)

    run_virtual(scenario())


def test_time_stands_still_while_a_thread_outside_is_waited_for() -> None:
    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        done: asyncio.Future[None] = loop.create_future()
        later = asyncio.ensure_future(asyncio.sleep(3_600))
        with loop.outside():
            threading.Thread(target=lambda: loop.call_soon_threadsafe(done.set_result, None)).start()
            await done
            now = loop.time()
        later.cancel()
        return now

    assert run_virtual(scenario()) == 0.0


class Box:
    """Keeps what arrives, with the time."""

    def __init__(self) -> None:
        self.got: list[tuple[float, bytes]] = []
        self.lost: list[str] = []
        self.peers: list[Address] = []

    def datagram_received(self, source: Address, data: bytes) -> None:
        self.got.append((asyncio.get_running_loop().time(), data))

    def connection_opened(self, peer: Address, *, inbound: bool) -> None:
        self.peers.append(peer)

    def stream_received(self, peer: Address, data: bytes) -> None:
        self.got.append((asyncio.get_running_loop().time(), data))

    def connection_lost(self, peer: Address, reason: str) -> None:
        self.lost.append(reason)


async def wire(network: Network) -> tuple[MemoryDatagrams, Box]:
    sender, box = network.host("a").datagrams(), Box()
    await sender.start(Box())
    await network.host("b").datagrams().start(box)
    return sender, box


def deliver(faults: Faults, count: int = 2_000) -> list[bytes]:
    async def scenario() -> list[bytes]:
        sender, box = await wire(Network(seed=1, faults=faults))
        for number in range(count):
            sender.send(Address("udp", "b", 5683), number.to_bytes(4, "big"))
        await asyncio.sleep(10)
        return [data for _, data in box.got]

    return run_virtual(scenario())


SENT = [number.to_bytes(4, "big") for number in range(2_000)]


def test_a_perfect_wire_keeps_all_in_order_and_jitter_reorders_nothing() -> None:
    assert deliver(Faults()) == SENT
    assert deliver(Faults(jitter=0.5)) == SENT


def test_faults_come_as_often_as_they_are_asked_for() -> None:
    assert 1_700 < len(deliver(Faults(loss=0.1))) < 1_900
    assert 2_100 < len(deliver(Faults(duplicate=0.1))) < 2_300
    reordered = deliver(Faults(reorder=0.3))
    assert reordered != SENT
    assert sorted(reordered) == SENT
    assert 100 < sum(data not in set(SENT) for data in deliver(Faults(corrupt=0.1))) < 300


def test_a_partition_loses_datagrams_until_it_is_mended() -> None:
    async def scenario() -> list[bytes]:
        network = Network()
        sender, box = await wire(network)
        for number, event in enumerate((None, network.partition, network.heal)):
            if event == network.partition:
                network.partition("a", "b")
            elif event == network.heal:
                network.heal()
            sender.send(Address("udp", "b", 5683), bytes((number,)))
            await asyncio.sleep(1)
        return [data for _, data in box.got]

    assert run_virtual(scenario()) == [b"\x00", b"\x02"]


def test_faults_can_be_of_one_pair_alone() -> None:
    async def scenario() -> int:
        network = Network()
        sender, box = await wire(network)
        network.set_faults("a", "b", Faults(loss=1.0))
        sender.send(Address("udp", "b", 5683), b"lost")
        network.set_faults("a", "b", None)
        sender.send(Address("udp", "b", 5683), b"there")
        await asyncio.sleep(1)
        return len(box.got)

    assert run_virtual(scenario()) == 1


def test_a_stream_hands_over_byte_at_a_time_when_asked_and_ends_after_what_was_written() -> None:
    async def scenario() -> None:
        network = Network(faults=Faults(chunk=1, delay=0.2))
        caller, listener = network.host("a").streams(None), network.host("b").streams()
        near, far = Box(), Box()
        await caller.start(near)
        await listener.start(far)
        peer = await caller.connect(Address("tcp", "b", 5683))
        caller.write(peer, b"abc")
        caller.disconnect(peer)
        await asyncio.sleep(5)
        assert [data for _, data in far.got] == [b"a", b"b", b"c"]
        assert far.lost == ["closed by the other side"]
        assert near.lost == []

    run_virtual(scenario())


def test_a_stream_that_is_not_read_fills_up_and_drains_when_it_is() -> None:
    async def scenario() -> None:
        network = Network()
        caller, listener = network.host("a").streams(None), network.host("b").streams()
        far = Box()
        await caller.start(Box())
        await listener.start(far)
        peer = await caller.connect(Address("tcp", "b", 5683))
        listener.pause(far.peers[0], True)
        caller.write(peer, bytes(400_000))
        draining = asyncio.ensure_future(caller.drain(peer))
        await asyncio.sleep(60)
        assert not draining.done()
        listener.pause(far.peers[0], False)
        await draining
        await asyncio.sleep(1)
        assert sum(len(data) for _, data in far.got) == 400_000

    run_virtual(scenario())


def test_nobody_can_be_reached_where_nobody_listens_or_the_wire_is_cut() -> None:
    async def scenario() -> None:
        network = Network()
        caller = network.host("a").streams(None)
        await caller.start(Box())
        with pytest.raises(Unavailable):
            await caller.connect(Address("tcp", "b", 5683))
        await network.host("b").streams().start(Box())
        network.partition("a", "b")
        with pytest.raises(Unavailable):
            await caller.connect(Address("tcp", "b", 5683))

    run_virtual(scenario())
