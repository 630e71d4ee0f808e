"""The courier over perfect and bad wires, in virtual time, with real stores at both ends."""

from __future__ import annotations

import pytest

from kos_edge.delivery.courier import DATAGRAM_BUDGET, Courier
from kos_edge.delivery.lanes import BUFFERED
from kos_edge.delivery.load import Load, lane_of
from kos_edge.delivery.window import Window
from kos_edge.delivery.wire import Answer, Reason, Receipt, Refusal
from kos_edge.klp.pack import Class, Stream
from tests.delivery.world import LANE, Wire, World, values

STREAM = Stream(bytes(16), "hub", Class(), 1 << 32)
PERFECT = Wire()
LOSSY = Wire(loss=0.1, delay=0.02)
DUPLICATING = Wire(duplicate=0.3)
REORDERING = Wire(delay=0.005, spread=0.05)
CORRUPTING = Wire(corrupt=0.02)
AWFUL = Wire(loss=0.1, duplicate=0.1, corrupt=0.02, delay=0.01, spread=0.04)
WIRES = {
    "perfect": PERFECT,
    "lossy": LOSSY,
    "duplicating": DUPLICATING,
    "reordering": REORDERING,
    "corrupting": CORRUPTING,
    "awful": AWFUL,
}


@pytest.mark.parametrize("name", WIRES)
@pytest.mark.parametrize("seed", range(4))
def test_everything_arrives_once_and_in_order(name: str, seed: int) -> None:
    world = World(WIRES[name], seed=seed)
    for start in range(0, 2000, 20):
        world.source.append(list(range(start, start + 20)))
    world.run(120)
    assert values(world.hub) == list(range(2000))
    assert world.source.store.outbox.usage.messages == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_backlog_of_three_epochs_arrives_in_the_order_of_its_epochs(seed: int) -> None:
    world = World(AWFUL, seed=seed)
    for epoch in range(3):
        world.source.append(list(range(epoch * 200, epoch * 200 + 100)))
        world.source.append(list(range(epoch * 200 + 100, epoch * 200 + 200)))
        world.source.restart()
    world.reconnect()
    world.run(60)
    assert values(world.hub) == list(range(600))


def test_a_lost_answer_is_repaired_by_the_next_one() -> None:
    world = World(Wire(loss=0.5))
    for number in range(50):
        world.source.append([number])
    world.run(300)
    assert values(world.hub) == list(range(50))


def test_a_session_that_breaks_in_the_middle_loses_and_repeats_nothing() -> None:
    world = World(AWFUL)
    for start in range(0, 3000, 50):
        world.source.append(list(range(start, start + 50)))
    for _ in range(40):
        world.run(0.03)
        world.reconnect()
    world.run(120)
    assert values(world.hub) == list(range(3000))


def test_loss_below_a_fifth_does_not_collapse_the_window() -> None:
    def seconds(wire: Wire) -> float:
        world = World(wire)
        for start in range(0, 40_000, 1000):
            world.source.append(list(range(start, start + 1000)))
        world.run(600)
        assert values(world.hub) == list(range(40_000))
        return world.now

    assert seconds(Wire(delay=0.02)) / seconds(Wire(loss=0.1, delay=0.02)) > 0.4


def test_the_memory_of_the_courier_does_not_grow_with_the_backlog() -> None:
    world = World(Wire(loss=1.0))
    for start in range(0, 40_000, 1000):
        world.source.append(list(range(start, start + 1000)))
    world.run(30)
    assert world.courier.room(LANE) < 4096
    assert world.courier.in_flight <= 64
    assert values(world.hub) == []


def loads(*numbers: int) -> list[Load]:
    return [Load(STREAM, number, number, b"x" * 100) for number in numbers]


def test_a_pack_that_is_answered_and_never_taken_does_not_fill_the_link() -> None:
    courier = Courier(DATAGRAM_BUDGET, Window())
    courier.add(loads(1))
    now, shipments = 0.0, 0
    while now < 30:
        for shipment in courier.poll(now):
            shipments += 1
            now += 0.002
            courier.on_answer(shipment.number, Answer(()), now)
        now = max(now, courier.timer() or now)
    assert 10 < shipments < 20


def test_a_pack_that_was_not_taken_at_first_is_taken_later_and_forgotten() -> None:
    courier = Courier(DATAGRAM_BUDGET, Window())
    courier.add(loads(1))
    (shipment,) = courier.poll(0.0)
    courier.on_answer(shipment.number, Answer(()), 0.01)
    assert not courier.idle()
    assert courier.poll(0.02) == []
    (shipment,) = courier.poll(0.2)
    (settled,) = courier.on_answer(shipment.number, Answer((Receipt(STREAM, 1),)), 0.21)
    assert settled.held == 1
    assert courier.idle()
    assert courier.room(lane_of(STREAM)) == BUFFERED


def test_the_refusals_of_an_answer_that_was_overtaken_are_heard() -> None:
    courier = Courier(100, Window())
    courier.add(loads(1, 2))
    first, second = courier.poll(0.0)
    courier.on_answer(second.number, Answer((Receipt(STREAM, 2),)), 0.1)
    refused = Receipt(STREAM, 1, (), (Refusal(1, int(Reason.REFUSED)),))
    (settled,) = courier.on_answer(first.number, Answer((refused,)), 0.1)
    assert settled.refusals == refused.refusals


def test_over_a_reliable_carrier_a_slow_answer_is_no_loss() -> None:
    courier = Courier(150, Window(most=8, reliable=True))
    courier.add(loads(1, 2, 3, 4, 5))
    first, *others = courier.poll(0.0)
    assert courier.timer() is None
    assert courier.on_timer(30.0) == []
    for number, shipment in enumerate(others, start=2):
        courier.on_answer(shipment.number, Answer((Receipt(STREAM, 0, ((2, number),)),)), 30.0)
    assert courier.counters.again == 0
    courier.on_failure(first.number, 31.0)
    (again,) = courier.poll(31.0)
    assert again.loads == first.loads
    assert courier.counters.again == 1


def test_over_a_reliable_carrier_slow_round_trips_do_not_shrink_what_is_in_flight() -> None:
    window = Window(most=8, reliable=True)
    for answer in range(100):
        window.on_sent()
        window.on_answer(0.001 if answer < 10 else 1.0, 0.0, float(answer))
    window.on_timeout(101.0)
    assert window.may_send(7)
    assert not window.may_send(8)
