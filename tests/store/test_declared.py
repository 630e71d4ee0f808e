"""An offer that moves a receiver over what its source has no more, while packs wait ahead of the gap."""

from __future__ import annotations

from kos_edge.delivery.wire import Offer
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Class, Pack, Stream
from kos_edge.store.journal import Incoming
from kos_edge.store.store import Store
from tests.delivery.world import Source, values

OWN = KeyPair.from_seed(bytes([9]) * 32)


def made(count: int) -> tuple[Source, list[Pack]]:
    source = Source(KeyPair.from_seed(bytes(32)))
    for number in range(1, count + 1):
        source.append([number])
    packs = [entry.pack for entry in source.store.packs.read(0, 1000)]
    return source, [pack for pack in packs if isinstance(pack, Pack)]


def receiver() -> Store:
    store = Store(":memory:")
    store.own(OWN.kid)
    return store


def take_in(store: Store, *packs: Pack) -> None:
    store.database.transact([lambda: store.journal.take_in([Incoming(pack, 0) for pack in packs], 1)])


def offer(store: Store, stream: Stream, first: int, last: int) -> int:
    (receipts,) = store.database.transact(
        [lambda: store.journal.declare(stream.source, [Offer(stream, first, last)], 1)]
    )
    assert isinstance(receipts, list)
    return int(receipts[0].held)


def ahead(store: Store) -> int:
    return int(store.database.execute("SELECT count(*) FROM ahead").fetchone()[0])


def test_what_waits_ahead_is_handed_over_when_an_offer_begins_behind_it() -> None:
    _, packs = made(8)
    store = receiver()
    take_in(store, packs[0], packs[3], packs[4], packs[7])
    assert offer(store, packs[0].stream, 7, 8) == 6
    assert values(store) == [1, 4, 5]
    take_in(store, packs[6])
    assert values(store) == [1, 4, 5, 7, 8]
    assert ahead(store) == 0


def test_what_waits_ahead_in_an_epoch_of_which_there_is_no_more_keeps_no_place() -> None:
    source, packs = made(3)
    store = receiver()
    take_in(store, packs[2])
    for _ in range(10):
        source.restart()
        source.append([0])
        source.append([1])
        early = source.store.packs.read(source.store.packs.last_id - 1)[0].pack
        assert isinstance(early, Pack)
        offer(store, early.stream, 1, 2)
        take_in(store, early)
    assert ahead(store) == 1
    assert values(store) == []


def test_it_is_the_same_after_a_restart_of_the_receiver() -> None:
    _, packs = made(6)
    store = receiver()
    take_in(store, packs[3])
    store.journal.load()
    assert offer(store, packs[0].stream, 6, 6) == 5
    assert values(store) == [4]
    store.journal.load()
    take_in(store, packs[5])
    assert values(store) == [4, 6]
    assert store.streams.find(Stream(packs[0].stream.source, "hub", Class(), packs[0].stream.epoch))
