"""Lanes of a courier: each has its own room, and what is urgent overtakes what waits."""

from __future__ import annotations

from kos_edge.delivery.courier import DATAGRAM_BUDGET, Courier
from kos_edge.delivery.lanes import BUFFERED
from kos_edge.delivery.load import Load, lane_of
from kos_edge.delivery.window import Window
from kos_edge.delivery.wire import Answer, Receipt
from kos_edge.klp.pack import Class, Priority, Stream

EPOCH = 1 << 32


def stream(priority: Priority, audience: str = "hub") -> Stream:
    return Stream(bytes(16), audience, Class(priority), EPOCH)


def loads(of: Stream, first: int, count: int, size: int = 900) -> list[Load]:
    return [Load(of, number, number, b"x" * size) for number in range(first, first + count)]


def test_a_critical_message_overtakes_a_buffered_backlog() -> None:
    courier = Courier(DATAGRAM_BUDGET, Window())
    courier.add(loads(stream(Priority.NORMAL), 1, 200))
    sent = courier.poll(0.0)
    courier.add(loads(stream(Priority.CRITICAL), 1, 1))
    courier.on_answer(sent[0].number, Answer((Receipt(stream(Priority.NORMAL), 1),)), 0.1)
    following = courier.poll(0.1)
    assert following[0].loads[0].stream == stream(Priority.CRITICAL)


def test_a_full_lane_takes_no_room_from_another() -> None:
    courier = Courier(DATAGRAM_BUDGET, Window())
    low, high = stream(Priority.LOW), stream(Priority.HIGH)
    courier.add(loads(high, 1, 400))
    assert courier.room(lane_of(high)) == 0
    assert courier.room(lane_of(low)) == BUFFERED


def test_what_is_lost_goes_again_before_the_rest_of_its_lane() -> None:
    courier = Courier(DATAGRAM_BUDGET, Window())
    normal = stream(Priority.NORMAL)
    courier.add(loads(normal, 1, 30))
    sent = courier.poll(0.0)
    for shipment in sent[1:4]:
        held = Receipt(normal, 0, ((2, shipment.loads[-1].last),))
        courier.on_answer(shipment.number, Answer((held,)), 0.1)
    again = courier.poll(0.1)
    assert again[0].loads[0].first == 1


def test_a_lane_that_waits_for_its_receiver_does_not_hold_up_another() -> None:
    courier = Courier(DATAGRAM_BUDGET, Window())
    high, low = stream(Priority.HIGH), stream(Priority.LOW)
    courier.add([Load(high, 1, 4_000, b"x" * 900), Load(high, 4_001, 9_000, b"x" * 900)])
    courier.add(loads(low, 1, 3))
    sent = [load for shipment in courier.poll(0.0) for load in shipment.loads]
    assert sorted(load.stream.cls.priority for load in sent) == [0, 0, 0, 2]
