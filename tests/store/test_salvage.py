"""A damaged store: what can be proven goes on in a new one, what cannot is set aside and said."""

from __future__ import annotations

import shutil
import sqlite3
import tracemalloc
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from kos_edge.delivery.position import Verdict
from kos_edge.errors import Invalid
from kos_edge.klp.body import Data
from kos_edge.klp.pack import Class, Message, prepare
from kos_edge.klp.sealed import peek_sealed
from kos_edge.klp.tombstone import Tombstone
from kos_edge.store import sql
from kos_edge.store.carve import Pages
from kos_edge.store.database import Damaged, log_of
from kos_edge.store.journal import Incoming, Intake
from kos_edge.store.owed import Appended, Stamp
from kos_edge.store.salvage import salvage
from kos_edge.store.store import Store
from tests.faults.shelf import Shelf, touches


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """Closed, with 20 commits in it."""
    made = Shelf(tmp_path / "kos.db")
    store = made.open()
    made.found(store)
    made.fill(store, 20)
    store.close()
    return made


def damage(file: Path, page: int, *, bit: bool = False) -> None:
    data = bytearray(file.read_bytes())
    start = page * sql.PAGE_SIZE
    if bit:
        data[start + 500] ^= 1
    else:
        data[start : start + sql.PAGE_SIZE] = bytes(sql.PAGE_SIZE)
    file.write_bytes(data)


def page_with(shelf: Shelf, place: tuple[object, int]) -> int:
    """The page where a pack begins."""
    return shelf.path.read_bytes().index(shelf.accepted[place][:60]) // sql.PAGE_SIZE


def own_place(shelf: Shelf) -> tuple[object, int]:
    """A pack of this node that is owed, is not the last of its stream, and lies on one page."""
    raw = shelf.path.read_bytes()
    own = [
        place for place, pack in shelf.accepted.items() if peek_sealed(pack).stream.source == shelf.key.kid
    ]
    return [place for place in own[:-4] if shelf.accepted[place] in raw][-1]


def test_without_the_first_page_everything_is_there(shelf: Shelf) -> None:
    damage(shelf.path, 0)
    store = shelf.open()
    assert dict(shelf.packs(store)) == shelf.accepted
    assert store.database.get("mesh") == shelf.mesh
    assert len(store.records.all("member")) == 2
    assert "the store was damaged" in store.troubles()[0]
    store.close()


def test_a_lost_pack_of_this_node_leaves_a_tombstone_and_the_chain_goes_on(shelf: Shelf) -> None:
    damage(shelf.path, page_with(shelf, own_place(shelf)))
    store = shelf.open()
    shelf.packs(store)
    entries = store.packs.read(0, 10_000)
    stones = [entry.pack for entry in entries if isinstance(entry.pack, Tombstone)]
    assert stones
    assert all(stone.stream.source == shelf.key.kid for stone in stones)
    for stone in stones:
        after = [e.pack for e in entries if e.pack.stream == stone.stream and e.first == stone.last + 1]
        assert after[0].prev == stone.chain_hash
    store.close()


def test_a_flipped_bit_in_a_message_is_found_before_the_message_is_used(shelf: Shelf) -> None:
    place = own_place(shelf)
    data = bytearray(shelf.path.read_bytes())
    data[data.index(shelf.accepted[place]) + len(shelf.accepted[place]) - 5] ^= 4
    shelf.path.write_bytes(data)
    store = shelf.open()
    found = dict(shelf.packs(store))
    assert place not in found
    assert found == {each: raw for each, raw in shelf.accepted.items() if each != place}
    store.close()


def test_numbers_go_on_above_every_epoch_though_nothing_says_how_many_there_were(shelf: Shelf) -> None:
    shelf.path.with_name("kos.meta").unlink()
    shelf.path.with_name("kos.meta.previous").unlink(missing_ok=True)
    raw = shelf.path.read_bytes()
    damage(shelf.path, raw.index(b"epoch\x00\x00\x00") // sql.PAGE_SIZE)
    store = shelf.open()
    assert store.outbox.epoch > max(shelf.epochs - {store.outbox.epoch})
    store.close()


def test_the_damaged_file_is_kept_and_the_warning_ends_with_it(shelf: Shelf) -> None:
    before = shelf.path.read_bytes()
    damage(shelf.path, 0)
    hurt = shelf.path.read_bytes()
    store = shelf.open()
    (aside,) = shelf.path.parent.glob("kos.db.damaged-now")
    assert aside.read_bytes() == hurt != before
    aside.unlink()
    assert store.troubles() == []
    store.close()


def test_a_salvage_that_was_cut_short_is_done_again_or_finished(shelf: Shelf) -> None:
    damage(shelf.path, 0)
    (shelf.path.parent / "kos.db.salvage").write_bytes(b"half")
    store = shelf.open()
    assert dict(shelf.packs(store)) == shelf.accepted
    store.close()
    shutil.move(shelf.path, shelf.path.with_name("kos.db.salvage"))  # between the two renames
    store = shelf.open()
    assert dict(shelf.packs(store)) == shelf.accepted
    store.close()


def test_what_nobody_can_salvage_is_refused_and_left_as_it_is(shelf: Shelf) -> None:
    damage(shelf.path, 0)
    hurt = shelf.path.read_bytes()
    with pytest.raises(Damaged):
        Store(shelf.path)
    assert shelf.path.read_bytes() == hurt
    assert issubclass(Damaged, Invalid)


def test_the_newest_values_are_kept_where_sqlite_can_still_read_them(shelf: Shelf) -> None:
    store = shelf.open()
    message = prepare(Message("door.front", Data("shut")))
    store.database.transact([lambda: store.latest.keep(("hub", Class()), message, Stamp(1, None, None))])
    assert store.salvage()
    ((key, kept),) = store.latest
    assert (key[2], kept.message) == ("door.front", message)
    store.close()


FRAME = 24 + sql.PAGE_SIZE


@pytest.mark.parametrize("frame", range(8))
def test_a_damaged_beginning_of_the_log_costs_nothing_that_stands_behind_it(
    tmp_path: Path, frame: int
) -> None:
    """They have mesh and memberships, which prove all that comes later; SQLite leaves out the whole log."""
    made = Shelf(tmp_path / "whole" / "kos.db")
    made.path.parent.mkdir()
    store = made.open()
    made.found(store)
    made.fill(store, 20)
    shutil.copytree(made.path.parent, tmp_path / "case", ignore=shutil.ignore_patterns("*.reserve"))
    store.close()
    log = tmp_path / "case" / "kos.db-wal"
    data = bytearray(log.read_bytes())
    page = bytes(data[32 + frame * FRAME : 32 + (frame + 1) * FRAME])
    data[32 + frame * FRAME : 32 + (frame + 1) * FRAME] = bytes(FRAME)
    log.write_bytes(data)
    case = Shelf(tmp_path / "case" / "kos.db", dict(made.accepted), set(made.epochs))
    again = case.open()
    kept = dict(case.packs(again))
    again.close()
    assert [
        place for place, raw in made.accepted.items() if place not in kept and not touches(raw, page)
    ] == []


@pytest.mark.parametrize("how", ["magic", "salt", "page"])
def test_a_damaged_header_of_the_log_does_not_hide_it(tmp_path: Path, how: str) -> None:
    made = Shelf(tmp_path / "whole" / "kos.db")
    made.path.parent.mkdir()
    store = made.open()
    made.found(store)
    made.fill(store, 20)
    shutil.copytree(made.path.parent, tmp_path / "case", ignore=shutil.ignore_patterns("*.reserve"))
    store.close()
    log = tmp_path / "case" / "kos.db-wal"
    data = bytearray(log.read_bytes())
    page = bytes(data[: sql.PAGE_SIZE])
    match how:
        case "magic":
            data[1] ^= 8
        case "salt":
            data[17] ^= 1
        case _:
            data[: sql.PAGE_SIZE] = bytes(sql.PAGE_SIZE)
    log.write_bytes(data)
    case = Shelf(tmp_path / "case" / "kos.db", dict(made.accepted), set(made.epochs))
    again = case.open()
    kept = dict(case.packs(again))
    assert [each for each, raw in made.accepted.items() if each not in kept and not touches(raw, page)] == []
    assert again.database.get("mesh") == made.mesh
    assert "the store was damaged" in again.troubles()[0]
    again.close()


def test_a_log_that_was_cut_as_it_began_anew_is_no_damage(shelf: Shelf) -> None:
    store = shelf.open()
    shelf.fill(store, 5)
    log = log_of(shelf.path)
    round_before = log.read_bytes()
    store.close()
    log.write_bytes(bytes(32) + round_before[32:])
    again = shelf.open()
    assert dict(shelf.packs(again)) == shelf.accepted
    assert again.troubles() == []
    again.close()


@pytest.mark.parametrize(
    "column",
    ["class = 199", "ranges = x'FFFF'", "ranges = x'01'", "source = x'01'", "epoch = 'x'", "held = 'x'"],
)
def test_what_a_flipped_bit_makes_of_the_place_of_a_stream_keeps_nothing_from_starting(
    shelf: Shelf, column: str
) -> None:
    connection = sqlite3.connect(shelf.path)
    connection.execute(f"UPDATE stream SET {column} WHERE id = 1")
    connection.commit()
    connection.close()
    store = shelf.open()
    assert dict(shelf.packs(store)) == shelf.accepted
    assert "the store was damaged" in store.troubles()[0]
    store.close()


def test_where_a_fresh_first_stream_is_not_said_to_stand_anywhere_what_is_there_of_it_is_held(
    shelf: Shelf,
) -> None:
    far = Store(":memory:")
    far.database.transact([lambda: far.outbox.open_epoch(bytes)])
    message, lane, stamp = Message("air", Data(1)), ("hub", Class(fresh=True)), Stamp(1, None, None)
    packs = []
    for _ in range(6):
        given = (shelf.other, shelf.mesh, lane, [message], stamp)
        appended = shelf.transact(far, partial(far.outbox.append, *given, settle=False))
        assert isinstance(appended, Appended)
        packs += [entry.pack for entry in appended.entries]
    store = shelf.open()
    some = [Incoming(packs[number], 0) for number in (0, 1, 4)]
    shelf.transact(store, lambda: store.journal.take_in(some, 1))
    store.close()
    connection = sqlite3.connect(shelf.path)
    connection.execute("UPDATE stream SET ranges = x'01' WHERE ranges IS NOT NULL")
    connection.commit()
    connection.close()
    store = shelf.open()
    assert store.journal.receipt(packs[0].stream).held == 2
    for number, verdict in ((1, Verdict.DUPLICATE), (4, Verdict.DUPLICATE), (2, Verdict.NEXT)):
        batch = [Incoming(packs[number], 0)]
        intake = shelf.transact(store, partial(store.journal.take_in, batch, 1))
        assert isinstance(intake, Intake)
        assert intake.verdicts == {verdict: 1}
    store.close()


def test_a_large_file_is_salvaged_in_little_memory(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "kos.db")
    store = shelf.open()
    shelf.found(store)
    messages = [Message("a", Data("x" * 20_000)) for _ in range(50)]
    append = partial(store.outbox.append, shelf.key, shelf.mesh, ("edge", Class()), messages, settle=False)
    for number in range(8):
        store.database.transact([partial(append, Stamp(number, None, None))])
    store.close()
    damage(shelf.path, 1_000)
    size, kept = shelf.path.stat().st_size, shelf.rescue.kept()
    rescue = replace(shelf.rescue, kept=lambda: kept)
    tracemalloc.start()
    salvaged = salvage(shelf.path, rescue)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 390 <= salvaged.messages < 400
    assert size > 8_000_000
    assert peak < size / 4, "SQLite's own cache, which it bounds itself, is not in this figure"


def test_a_page_that_the_disk_does_not_give_is_one_that_is_not_there(shelf: Shelf) -> None:
    with Pages(shelf.path, shelf.path.with_name("none"), sql.PAGE_SIZE) as pages:
        rows = list(pages.filed())
        with shelf.path.open("r+b") as file:
            file.truncate(3 * sql.PAGE_SIZE)
        assert 0 < len(list(pages.filed())) < len(rows)
        assert any(pages.row(row.place) is None for row in rows)
