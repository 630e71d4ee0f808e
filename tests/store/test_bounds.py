"""What one source can make a journal remember: so much, and no more, while every other is served as before."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from kos_edge.delivery.position import KEPT_EPOCHS, Verdict
from kos_edge.delivery.wire import Offer
from kos_edge.klp.body import Data
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Boundary, Class, Link, Message, Pack, Packer, Stream, peek
from kos_edge.klp.stream import MAX_SEQ
from kos_edge.store.journal import MAX_AHEAD_BYTES, MAX_STREAMS, Incoming, Intake
from kos_edge.store.store import Store

Result = TypeVar("Result")

ENEMY, HONEST, OWN = (KeyPair.from_seed(bytes([seed]) * 32) for seed in (1, 2, 3))
LATER_MS = 10**15


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store(":memory:")
    made.own(OWN.kid)
    yield made
    made.close()


def commit(store: Store, job: Callable[[], Result]) -> Result:
    (result,) = store.database.transact([job])
    assert not isinstance(result, Exception), result
    return result  # type: ignore[return-value]


def sealed(
    key: KeyPair,
    epoch: int,
    *,
    first: int = 1,
    prev: Link = None,
    audience: str = "hub",
    size: int = 0,
    fresh: bool = False,
) -> Pack:
    """A pack of one message."""
    packer = Packer(Stream(key.kid, audience, Class(fresh=fresh), epoch), first)
    packer.add(Message("air.temperature", Data("x" * size)))
    before = bytes(16) if first > 1 and prev is None else prev
    return peek(
        packer.seal(prev=before, mono_ms=0, wall_ms=None, uncertainty_ms=None, key=key, mesh=bytes(32))
    )


def take_in(store: Store, *packs: Pack) -> Intake:
    return commit(store, lambda: store.journal.take_in([Incoming(pack, 0) for pack in packs], 1))


def declare(store: Store, key: KeyPair, *offers: Offer) -> None:
    commit(store, lambda: store.journal.declare(key.kid, offers, 1))


def epochs_in_a_chain(key: KeyPair, count: int) -> list[Pack]:
    """The first and only pack of each epoch, naming the one before."""
    packs: list[Pack] = []
    for epoch in range(1, count + 1):
        before = packs[-1] if packs else None
        prev = None if before is None else Boundary(epoch - 1, before.last, before.chain_hash)
        packs.append(sealed(key, epoch, prev=prev))
    return packs


def retain_nothing(store: Store) -> None:
    while commit(store, lambda: store.journal.prune(LATER_MS, 0, 1, (OWN.kid,))):
        pass
    commit(store, store.journal.forget_old_epochs)


def test_a_member_cannot_fill_the_table_of_streams_by_offers(store: Store) -> None:
    for number in range(0, 2 * MAX_STREAMS, 64):
        streams = [Stream(ENEMY.kid, f"group:g{n % 100}", Class(), 1 + n) for n in range(number, number + 64)]
        declare(store, ENEMY, *(Offer(stream, 5, 9) for stream in streams))
    assert store.streams.count(ENEMY.kid) == MAX_STREAMS
    assert store.journal.no_room == MAX_STREAMS
    assert take_in(store, sealed(HONEST, 1)).messages == 1


def test_a_member_that_opens_epochs_without_end_is_told_not_now_and_others_go_on(store: Store) -> None:
    first: Pack | None = None
    for begin in range(1, MAX_STREAMS + 1_000, 100):
        packs = [sealed(ENEMY, epoch) for epoch in range(begin, begin + 100)]
        take_in(store, *packs)
        first = first or packs[0]
    assert first is not None
    assert store.streams.count(ENEMY.kid) == MAX_STREAMS
    intake = take_in(store, sealed(ENEMY, 10**6), sealed(HONEST, 1))
    assert intake.verdicts == {Verdict.NOT_NOW: 1, Verdict.NEXT: 1}
    assert intake.receipts[0].held == 0, "no receipt for what was not taken"
    more = take_in(store, sealed(ENEMY, 1, first=2, prev=first.chain_hash))
    assert more.messages == 1, "what it has goes on"


def test_what_waits_ahead_of_gaps_is_bounded_by_source(store: Store) -> None:
    taken = 0
    for number in range(2, 2 + 2 * MAX_AHEAD_BYTES // 60_000):
        audience = f"group:g{number % 50}"
        intake = take_in(store, sealed(ENEMY, 1, first=number, audience=audience, size=60_000))
        taken += intake.verdicts.get(Verdict.AHEAD, 0)
    assert taken * 60_000 <= MAX_AHEAD_BYTES < (taken + 2) * 60_200
    assert take_in(store, sealed(HONEST, 1, first=2)).verdicts == {Verdict.AHEAD: 1}
    store.journal.load()
    full = take_in(store, sealed(ENEMY, 1, first=4_000, size=60_000))
    assert full.verdicts == {Verdict.NOT_NOW: 1}, "counted again from the file"
    next_one = take_in(store, sealed(ENEMY, 1, first=1, audience="group:g2", size=60_000))
    assert next_one.messages >= 1, "what fills a gap is taken, and makes room"
    assert take_in(store, sealed(ENEMY, 1, first=4_000, size=50_000)).verdicts == {Verdict.AHEAD: 1}


def test_of_epochs_that_were_forgotten_nothing_is_taken_twice_nor_said_to_be_held(
    store: Store,
) -> None:
    packs = epochs_in_a_chain(HONEST, 300)
    for pack in packs:
        assert take_in(store, pack).messages == 1
    assert store.streams.count(HONEST.kid) == 300, "while the journal has something of them"
    retain_nothing(store)
    assert store.streams.count(HONEST.kid) <= KEPT_EPOCHS + 2
    for _ in range(2):
        for pack in packs:
            intake = take_in(store, pack)
            assert intake.messages == 0
            (verdict,) = intake.verdicts
            receipt = intake.receipts[0]
            assert (receipt.held, len(receipt.refusals)) == (
                (1, 0) if verdict is Verdict.DUPLICATE else (0, 1)
            )
        assert verdict is Verdict.DUPLICATE, "the newest are remembered"
        store.streams.load()
        store.journal.load()
    assert store.journal.highest_epoch(HONEST.kid) == 300
    following = sealed(HONEST, 301, prev=Boundary(300, 1, packs[-1].chain_hash))
    assert take_in(store, following).messages == 1


def test_an_epoch_that_is_not_complete_is_not_forgotten(store: Store) -> None:
    packs = epochs_in_a_chain(HONEST, 40)
    take_in(store, sealed(HONEST, 5, first=2))  # of epoch 5 number 1 is missing, and 2 waits ahead
    for pack in packs[:4]:
        take_in(store, pack)
    retain_nothing(store)
    late = take_in(store, packs[4])
    assert late.messages >= 1
    assert late.receipts[0].held >= 1


def test_what_was_offered_and_never_came_is_forgotten_when_its_source_says_so(store: Store) -> None:
    for epoch in range(1, 200):
        declare(store, HONEST, Offer(Stream(HONEST.kid, "hub", Class(), epoch), 7, 9))
        commit(store, store.journal.forget_old_epochs)
        assert store.streams.count(HONEST.kid) <= KEPT_EPOCHS + 2
    declare(store, HONEST, Offer(Stream(HONEST.kid, "hub", Class(), 3), 1, 9))
    (receipt,) = commit(
        store,
        lambda: store.journal.declare(HONEST.kid, [Offer(Stream(HONEST.kid, "hub", Class(), 3), 1, 9)], 1),
    )
    assert receipt.held == MAX_SEQ


def test_the_last_numbers_there_are_break_nothing(store: Store) -> None:
    declare(store, ENEMY, Offer(Stream(ENEMY.kid, "hub", Class(), MAX_SEQ), MAX_SEQ, MAX_SEQ))
    assert take_in(store, sealed(ENEMY, MAX_SEQ, first=MAX_SEQ)).messages == 1
    assert take_in(store, sealed(HONEST, 1)).messages == 1


def test_fresh_first_epochs_that_are_complete_are_forgotten_and_none_of_their_packs_comes_again(
    store: Store,
) -> None:
    packs: list[Pack] = []
    for epoch in range(1, 61):
        before = packs[-1] if packs else None
        prev = None if before is None else Boundary(epoch - 1, before.last, before.chain_hash)
        packs.append(sealed(HONEST, epoch, prev=prev, fresh=True))
    for pack in reversed(packs):
        assert take_in(store, pack).messages == 1
    take_in(store, sealed(HONEST, 61, fresh=True))  # retention always keeps what came last
    retain_nothing(store)
    assert store.streams.count(HONEST.kid) <= KEPT_EPOCHS + 2
    for _ in range(2):
        for pack in packs:
            intake = take_in(store, pack)
            assert intake.messages == 0
            (verdict,) = intake.verdicts
            assert verdict in (Verdict.DUPLICATE, Verdict.OVER)
        assert verdict is Verdict.DUPLICATE, "the newest are remembered"
        store.streams.load()
        store.journal.load()


def test_a_fresh_first_epoch_with_a_gap_is_not_forgotten(store: Store) -> None:
    for epoch in range(1, 31):
        prev = Boundary(epoch - 1, 2, bytes(16)) if epoch > 1 else None
        take_in(store, sealed(HONEST, epoch, prev=prev, fresh=True))  # number 2 of each is still to come
    retain_nothing(store)
    assert store.streams.count(HONEST.kid) == 30
    assert take_in(store, sealed(HONEST, 1, first=2, fresh=True)).verdicts != {Verdict.DUPLICATE: 1}


def test_a_member_cannot_open_fresh_first_epochs_without_end(store: Store) -> None:
    for begin in range(1, MAX_STREAMS + 200, 100):
        take_in(store, *(sealed(ENEMY, epoch, fresh=True) for epoch in range(begin, begin + 100)))
    assert store.streams.count(ENEMY.kid) == MAX_STREAMS
    assert store.journal.no_room > 0
    assert take_in(store, sealed(HONEST, 1, fresh=True)).messages == 1


def test_an_epoch_of_which_the_end_was_settled_elsewhere_is_forgotten_too(store: Store) -> None:
    packs = epochs_in_a_chain(ENEMY, 40)
    take_in(store, packs[0])
    declare(store, ENEMY, Offer(packs[0].stream, 3, 9))
    for pack in packs[1:]:
        declare(store, ENEMY, Offer(pack.stream, 1, 1))
        take_in(store, pack)
    commit(store, store.journal.forget_old_epochs)
    assert store.streams.count(ENEMY.kid) == 40, "what is still in the journal is not"
    retain_nothing(store)
    assert store.streams.count(ENEMY.kid) == KEPT_EPOCHS + 1


def test_a_fresh_first_epoch_that_went_elsewhere_keeps_nothing_from_being_forgotten(store: Store) -> None:
    packs = [sealed(HONEST, epoch, fresh=True) for epoch in range(1, 41)]  # none names the one before
    for pack in packs[:-1]:
        declare(store, HONEST, Offer(pack.stream, 1, 3))
        assert take_in(store, pack).messages == 1, "numbers 2 and 3 go to another hub"
    declare(store, HONEST, Offer(packs[-1].stream, 5, 9))
    commit(store, store.journal.forget_old_epochs)
    assert store.streams.count(HONEST.kid) == 40, "what is still in the journal is not forgotten"
    store.streams.load()
    store.journal.load()
    take_in(store, sealed(HONEST, 41, fresh=True))
    retain_nothing(store)
    assert store.streams.count(HONEST.kid) <= KEPT_EPOCHS + 2
    for pack in packs[:-1]:
        intake = take_in(store, pack)
        assert intake.messages == 0
        assert intake.verdicts.keys() <= {Verdict.DUPLICATE, Verdict.OVER}


def test_a_fresh_first_epoch_of_which_something_is_owed_is_not_forgotten(store: Store) -> None:
    packs = [sealed(HONEST, epoch, fresh=True) for epoch in range(1, 41)]
    for pack in packs:
        declare(store, HONEST, Offer(packs[2].stream, 1, 2), Offer(pack.stream, 1, 1))
        take_in(store, pack)
    retain_nothing(store)
    rest = sealed(HONEST, 3, first=2, prev=packs[2].chain_hash, fresh=True)
    assert take_in(store, rest).messages == 1


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh first", "in order"])
def test_a_source_with_too_many_starts_makes_room_by_its_next_offer(store: Store, fresh: bool) -> None:
    for begin in range(1, MAX_STREAMS + 1, 128):
        take_in(store, *(sealed(HONEST, epoch, fresh=fresh) for epoch in range(begin, begin + 128)))
    following = sealed(HONEST, MAX_STREAMS + 1, fresh=fresh)
    retain_nothing(store)
    assert take_in(store, following).verdicts == {Verdict.NOT_NOW: 1}
    declare(store, HONEST, Offer(following.stream, 1, 1))
    retain_nothing(store)
    assert take_in(store, following).messages == 1


def test_lanes_that_were_only_spoken_of_are_not_remembered(store: Store) -> None:
    tracemalloc.start()
    for number in range(5_000):
        declare(store, ENEMY, Offer(Stream(ENEMY.kid, f"group:g{number}", Class(fresh=True), 1), 1, 9))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 100_000
