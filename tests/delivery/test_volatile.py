"""Volatile streams: bounded at the source, handed over once at the receiver."""

from __future__ import annotations

from kos_edge.delivery.receipts import Settled
from kos_edge.delivery.volatile import RING_BYTES, VolatileIntake, VolatileRing
from kos_edge.klp.body import Data
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Class, Message, Pack, Stream

KEY = KeyPair.from_seed(bytes(32))
STREAM = Stream(KEY.kid, "hub", Class(durable=False), 1 << 32)


def append(ring: VolatileRing, *values: object) -> list[Pack]:
    messages = [Message("air", Data(value)) for value in values]
    _, packs = ring.append(
        bytes(32), STREAM, messages, mono_ms=0, wall_ms=None, uncertainty_ms=None, now=0.0, keep=True
    )
    return packs


def test_what_was_handed_over_leaves_the_ring() -> None:
    ring = VolatileRing(KEY)
    append(ring, 1, 2)
    (load,) = ring.take({})
    assert (load.first, load.last) == (1, 2)
    ring.settle(Settled(STREAM, 2))
    assert ring.take({}) == []


def test_the_oldest_fall_out_of_a_full_ring_and_are_counted() -> None:
    ring = VolatileRing(KEY)
    for number in range(400):
        append(ring, "x" * 900 + str(number))
    loads = ring.take({})
    assert sum(len(load.pack) for load in loads) <= RING_BYTES
    assert loads[-1].last == 400
    assert ring.dropped == 400 - len(loads)


def test_a_receiver_takes_each_pack_once_and_nothing_late() -> None:
    ring, intake = VolatileRing(KEY), VolatileIntake()
    (first,), (second,), (third,) = append(ring, 1), append(ring, 2), append(ring, 3)
    assert intake.take(first)
    assert intake.take(third)
    assert not intake.take(third)
    assert not intake.take(second)
    assert intake.receipt(STREAM).held == 3
