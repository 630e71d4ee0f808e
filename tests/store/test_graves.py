"""What the outbox buries: a tombstone in the place of packs, in the same transaction, chained and counted."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from kos_edge.delivery.receipts import Settled
from kos_edge.klp.body import Data
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.message import Reason
from kos_edge.klp.pack import Boundary, Class, Message, Pack
from kos_edge.klp.tombstone import Tombstone, unseal_tombstone
from kos_edge.store.database import Damaged
from kos_edge.store.outbox import Stamp
from kos_edge.store.store import Store
from kos_edge.store.takeover import renumber
from tests.delivery.world import LANE, MESH, Source, bury, waiting_of


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Ten packs of one message wait."""
    source = Source(KeyPair.from_seed(bytes(32)), Store(tmp_path / "kos.db"))
    for number in range(10):
        source.append([number])
    return source


def shape(source: Source) -> list[tuple[int, int, str]]:
    """What stands in the store: first, last, and a letter."""
    return [
        (entry.first, entry.last, "P" if isinstance(entry.pack, Pack) else entry.pack.reason.name[0])
        for entry in source.store.packs.read(0)
    ]


def check_chain(source: Source) -> None:
    """Each names the one before it, over tombstones too, and tombstones verify."""
    before: bytes | None = None
    for entry in source.store.packs.read(0):
        if isinstance(entry.pack, Tombstone):
            unseal_tombstone(entry.pack.raw, source.key.public, MESH)
        if before is not None and not isinstance(entry.pack.prev, Boundary):
            assert entry.pack.prev == before
        before = entry.pack.chain_hash


def test_a_run_of_packs_is_one_tombstone_that_the_chain_goes_on_over(source: Source) -> None:
    assert bury(source, range(3, 6)) == 3
    assert shape(source) == [(1, 1, "P"), (2, 2, "P"), (3, 5, "D"), *[(n, n, "P") for n in range(6, 11)]]
    check_chain(source)
    assert (source.store.outbox.usage.messages, source.store.outbox.usage.packs) == (7, 7)
    assert (source.store.outbox.tombstones.messages, source.store.outbox.tombstones.packs) == (3, 1)


def test_a_tombstone_keeps_the_place_of_the_last_pack_that_it_replaces(source: Source) -> None:
    ids = [entry.id for entry in source.store.packs.read(0)]
    bury(source, range(1, 4))
    assert [entry.id for entry in source.store.packs.read(0)] == ids[2:]


def test_runs_with_the_same_reason_that_meet_become_one(source: Source) -> None:
    bury(source, [2])
    bury(source, [4])
    assert [letter for _, _, letter in shape(source)].count("D") == 2
    bury(source, [3])
    assert shape(source)[1] == (2, 4, "D")
    bury(source, [5], Reason.EXPIRED)
    bury(source, [6])
    assert shape(source)[1:4] == [(2, 4, "D"), (5, 5, "E"), (6, 6, "D")]
    check_chain(source)


def test_runs_that_do_not_meet_have_a_tombstone_each(source: Source) -> None:
    assert bury(source, [1, 2, 5, 6, 10]) == 5
    assert [each for each in shape(source) if each[2] == "D"] == [(1, 2, "D"), (5, 6, "D"), (10, 10, "D")]
    check_chain(source)


def test_what_comes_after_a_stream_that_was_buried_whole_names_its_last_pack(source: Source) -> None:
    bury(source, range(1, 11))
    source.append([11])
    assert shape(source) == [(1, 10, "D"), (11, 11, "P")]
    check_chain(source)
    source.restart()
    source.append([1])
    assert source.store.packs.read(0)[-1].pack.prev == Boundary(
        source.store.packs.read(0)[0].pack.stream.epoch, 11, source.store.packs.read(0)[1].pack.chain_hash
    )


def test_what_was_buried_is_so_after_a_restart(source: Source) -> None:
    bury(source, range(2, 9))
    again = Store(source.store.database.path)
    again.own(source.key.kid)
    assert (again.outbox.usage, again.outbox.tombstones) == (
        source.store.outbox.usage,
        source.store.outbox.tombstones,
    )
    assert (again.packs.bytes, again.packs.count) == (source.store.packs.bytes, source.store.packs.count)
    assert again.packs.gone() == {Reason.DROPPED: 7}
    (owed,) = again.outbox.owed()
    loads = again.outbox.take(owed.stream, 0, 1 << 20, Stamp(0, None, None), 0.0)
    assert [(load.first, load.last) for load in loads] == [(1, 1), (2, 8), (9, 9), (10, 10)]
    again.close()


def test_a_pack_is_gone_only_with_its_tombstone(source: Source) -> None:
    before = shape(source)
    (stream, victims) = waiting_of(source, range(3, 6))
    outbox, database = source.store.outbox, source.store.database

    def fail() -> None:
        outbox.bury(stream, victims, Reason.DROPPED, source.key, MESH)
        raise RuntimeError("the power fails here")

    with pytest.raises(RuntimeError):
        database.transact([fail])
    assert shape(source) == before
    assert outbox.usage.messages == 10
    assert outbox.tombstones.packs == 0


def test_a_damaged_pack_in_a_run_does_not_keep_the_chain_from_going_on(source: Source) -> None:
    entries = source.store.packs.read(0)
    source.store.database.execute("UPDATE pack SET sealed = x'8200' WHERE id = ?", (entries[4].id,))
    bury(source, range(3, 6))
    assert shape(source)[2] == (3, 5, "D")
    check_chain(source)


@pytest.mark.parametrize("number", [3, 6])
def test_a_damaged_pack_that_should_go_is_told_and_nothing_has_changed(source: Source, number: int) -> None:
    ident = source.store.packs.read(0)[number - 1].id
    source.store.database.execute("UPDATE pack SET sealed = x'8200' WHERE id = ?", (ident,))
    before = (source.store.outbox.usage.messages, source.store.packs.count)
    with pytest.raises(Damaged):
        bury(source, range(3, 6))
    assert (source.store.outbox.usage.messages, source.store.packs.count) == before


def test_a_damaged_pack_that_may_have_expired_is_told(source: Source) -> None:
    message, outbox = Message("a", Data(1), ttl_s=5), source.store.outbox
    append = partial(outbox.append, source.key, MESH, LANE, [message], Stamp(0, None, None), settle=False)
    source.store.database.transact([append])
    source.store.database.execute(
        "UPDATE pack SET sealed = x'8200' WHERE id = ?", (source.store.packs.last_id,)
    )
    with pytest.raises(Damaged):
        outbox.expired(Stamp(9_000, None, None))


def test_whole_packs_expire_by_the_age_that_is_known(source: Source) -> None:
    def append(*ttls: int | None, wall_ms: int | None = None) -> None:
        messages = [Message("a", Data(1), ttl_s=ttl) for ttl in ttls]
        stamp = Stamp(0, wall_ms, None if wall_ms is None else 0)
        outbox = source.store.outbox
        source.store.database.transact(
            [lambda: outbox.append(source.key, MESH, LANE, messages, stamp, settle=False)]
        )

    append(5, 7)
    append(5, None)
    append(3)
    outbox = source.store.outbox
    assert outbox.expired(Stamp(2_999, None, None)) == {}
    for at_ms, firsts in ((3_000, [15]), (6_999, [15]), (7_000, [11, 15])):
        (packs,) = outbox.expired(Stamp(at_ms, None, None)).values()
        assert [each.first for each in packs] == firsts
    again = Store(source.store.database.path)
    again.own(source.key.kid)
    assert again.outbox.expired(Stamp(9_000_000, None, None)) == {}, "nobody knows how old it is"
    again.close()


def test_another_lane_is_not_touched(source: Source) -> None:
    source.append([1], ("all", Class()))
    bury(source, range(1, 11))
    assert shape(source) == [(1, 10, "D"), (1, 1, "P")]


def test_a_tombstone_is_numbered_anew_with_what_is_around_it(source: Source) -> None:
    bury(source, range(4, 7))
    (old,) = [owed.stream for owed in source.store.outbox.owed()]
    source.restart()
    source.store.database.transact([lambda: renumber(source.store, source.key, MESH, [old])])
    assert shape(source) == [
        *[(n, n, "P") for n in (1, 2, 3)],
        (4, 6, "D"),
        *[(n, n, "P") for n in range(7, 11)],
    ]
    (owed,) = source.store.outbox.owed()
    assert (owed.stream.epoch > old.epoch, owed.first, owed.last) == (True, 1, 10)
    check_chain(source)


def test_a_fresh_first_tombstone_that_grew_on_its_way_is_settled_by_the_receipts_for_its_parts(
    source: Source,
) -> None:
    outbox = source.store.outbox
    for number in range(8):
        source.append([number], ("edge", Class(fresh=True)))
    (stream,) = (owed.stream for owed in outbox.owed() if owed.stream.cls.fresh)
    for victims in (outbox.waiting(stream)[:5], outbox.waiting(stream)[5:]):
        work = partial(outbox.bury, stream, victims, Reason.DROPPED, source.key, MESH)
        source.store.database.transact([work])
    assert [(each.first, each.last) for each in outbox.waiting(stream)] == [(1, 8)]
    for settled in (Settled(stream, 0, ranges=((6, 8),)), Settled(stream, 5)):
        assert outbox.waiting(stream)
        source.store.database.transact([partial(outbox.settle, settled)])
    assert stream not in [owed.stream for owed in outbox.owed()]
    assert outbox.tombstones.messages == 0
