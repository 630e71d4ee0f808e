"""Tombstones on their way: the receiver moves on over what is gone, keeps what it holds, and calls nothing lost."""

from __future__ import annotations

import random

import pytest

from kos_edge.delivery.position import AHEAD_LIMIT, Lane, Verdict
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.message import Reason
from kos_edge.klp.pack import Pack
from kos_edge.klp.sealed import Sealed
from kos_edge.klp.tombstone import Tombstone, bury, peek_tombstone
from kos_edge.store.journal import Incoming, Intake
from kos_edge.store.store import Store
from tests.delivery.world import MESH, Source, Wire, World, values
from tests.delivery.world import bury as bury_in


@pytest.fixture
def source() -> Source:
    """Ten packs of one message."""
    source = Source(KeyPair.from_seed(bytes(32)))
    for number in range(1, 11):
        source.append([number])
    return source


@pytest.fixture
def hub() -> Store:
    return Store(":memory:")


def sealed(source: Source) -> list[Sealed]:
    return [entry.pack for entry in source.store.packs.read(0, 1000)]


def take_in(hub: Store, *packs: Sealed) -> Intake:
    batch = [Incoming(pack, 0) for pack in packs]
    (intake,) = hub.database.transact([lambda: hub.journal.take_in(batch, 0)])
    assert isinstance(intake, Intake)
    return intake


def journal(hub: Store) -> list[tuple[int, int, str]]:
    return [
        (entry.first, entry.last, "P" if isinstance(entry.pack, Pack) else entry.pack.reason.name[0])
        for entry in hub.packs.read(0, 1000)
    ]


def test_one_that_is_next_moves_position_and_chain_on(source: Source, hub: Store) -> None:
    bury_in(source, range(1, 4))
    tombstone, following, *_ = sealed(source)
    intake = take_in(hub, tombstone, following)
    assert journal(hub) == [(1, 3, "D"), (4, 4, "P")]
    assert (intake.receipts[0].held, intake.messages, intake.gone) == (4, 1, {Reason.DROPPED: 3})


def test_what_the_receiver_holds_of_the_run_it_keeps(source: Source, hub: Store) -> None:
    packs = sealed(source)
    take_in(hub, packs[0], packs[1], packs[4], packs[5])
    bury_in(source, range(2, 8))
    intake = take_in(hub, sealed(source)[1])
    assert journal(hub) == [(1, 1, "P"), (2, 2, "P"), (3, 4, "D"), (5, 5, "P"), (6, 6, "P"), (7, 7, "D")]
    assert intake.receipts[0].held == 7
    assert intake.gone == {Reason.DROPPED: 3}
    take_in(hub, packs[7])
    assert values(hub) == [1, 2, 5, 6, 8]


def test_one_that_comes_early_waits_ahead_and_what_it_covers_is_a_duplicate(
    source: Source, hub: Store
) -> None:
    packs = sealed(source)
    take_in(hub, packs[4])
    bury_in(source, range(3, 8))
    tombstone = sealed(source)[2]
    intake = take_in(hub, tombstone)
    assert intake.verdicts == {Verdict.AHEAD: 1}
    assert intake.receipts[0].ranges == ((3, 7),)
    assert take_in(hub, packs[3], packs[5], tombstone).verdicts == {Verdict.DUPLICATE: 3}
    hub.journal.load()
    take_in(hub, packs[0], packs[1], packs[7])
    assert journal(hub) == [(1, 1, "P"), (2, 2, "P"), (3, 4, "D"), (5, 5, "P"), (6, 7, "D"), (8, 8, "P")]


def test_one_that_has_grown_gives_the_rest(source: Source, hub: Store) -> None:
    bury_in(source, range(1, 4))
    take_in(hub, sealed(source)[0])
    bury_in(source, range(4, 6))
    grown = sealed(source)[0]
    assert (grown.first, grown.last) == (1, 5)
    assert take_in(hub, grown).gone == {Reason.DROPPED: 2}
    assert journal(hub) == [(1, 3, "D"), (4, 5, "D")]
    assert take_in(hub, grown).verdicts == {Verdict.DUPLICATE: 1}


def test_one_behind_what_is_held_is_a_duplicate(source: Source, hub: Store) -> None:
    take_in(hub, *sealed(source))
    bury_in(source, range(2, 5))
    bury_in(source, range(9, 11))
    for tombstone in (pack for pack in sealed(source) if isinstance(pack, Tombstone)):
        assert take_in(hub, tombstone).verdicts == {Verdict.DUPLICATE: 1}
    assert len(journal(hub)) == 10


@pytest.mark.parametrize(("first", "count"), [(3, 2), (1, 10)])
def test_one_that_contradicts_what_is_held_is_a_fork(
    source: Source, hub: Store, first: int, count: int
) -> None:
    packs = sealed(source)
    take_in(hub, *packs[:2] if first == 3 else packs)
    stream = packs[0].stream
    wrong = bury(
        stream,
        first,
        count,
        Reason.DROPPED,
        prev=bytes(16) if first > 1 else None,
        chain_hash=bytes(16),
        key=source.key,
        mesh=MESH,
    )
    intake = take_in(hub, peek_tombstone(wrong))
    assert intake.verdicts == {Verdict.FORK: 1}
    assert intake.receipts[0].held == (2 if first == 3 else 10)


def test_one_for_more_than_the_window_is_taken_when_it_is_next_and_not_before(source: Source) -> None:
    stream = sealed(source)[0].stream
    long = peek_tombstone(
        bury(
            stream,
            5,
            10 * AHEAD_LIMIT,
            Reason.DROPPED,
            prev=bytes(16),
            chain_hash=bytes(16),
            key=source.key,
            mesh=MESH,
        )
    )
    lane = Lane(chained=True)
    assert lane.judge_tombstone(long) is Verdict.NOT_NOW
    lane.take(stream.epoch, 1, 4, bytes(16))
    assert lane.judge_tombstone(long) is Verdict.NEXT


def test_the_first_of_an_epoch_waits_for_the_one_before(source: Source, hub: Store) -> None:
    old = sealed(source)
    source.restart()
    for number in range(11, 14):
        source.append([number])
    bury_in(source, range(1, 3))
    new = sealed(source)[10:]
    assert take_in(hub, *old[:9], *new).receipts[-1].held == 0
    take_in(hub, old[9])
    assert values(hub) == [*range(1, 11), 13]


@pytest.mark.parametrize("seed", range(12))
def test_over_a_bad_wire_every_number_is_delivered_or_gone_and_none_both(seed: int) -> None:
    """The source drops what it likes while packs are under way; receipts are lost, sessions end."""
    world = World(Wire(loss=0.2, duplicate=0.2, spread=0.3), seed=seed)
    chance = random.Random(seed)
    appended = 0
    dropped: list[int] = []
    for _ in range(25):
        for _ in range(chance.randrange(1, 12)):
            appended += 1
            world.source.append([appended])
        reason = chance.choice((Reason.DROPPED, Reason.EXPIRED))
        victims = [n for n in range(1, appended + 1) if chance.random() < 0.2]
        bury_in(world.source, victims, reason, found=dropped)
        world.run(chance.random() * 0.4)
        if chance.random() < 0.3:
            world.reconnect()
    world.reconnect()
    world.run(1_000)
    delivered = [value for value in values(world.hub) if isinstance(value, int)]
    gone = [
        number
        for entry in world.hub.packs.read(0, 10_000)
        if isinstance(entry.pack, Tombstone)
        for number in range(entry.first, entry.last + 1)
    ]
    assert world.source.store.outbox.owed() == []
    assert sorted([*delivered, *gone]) == list(range(1, appended + 1))
    assert delivered == sorted(delivered)
    assert set(gone) <= set(dropped)


def test_one_of_an_epoch_that_was_forgotten_lets_nothing_be_let_go_of(source: Source, hub: Store) -> None:
    bury_in(source, range(1, 4))
    tombstone = sealed(source)[0]
    take_in(hub, *sealed(source))
    lane = hub.journal._lane(tombstone.stream)
    lane.forget([tombstone.stream.epoch])
    intake = take_in(hub, tombstone)
    assert intake.verdicts == {Verdict.OVER: 1}
    assert intake.receipts[0].held == 0
