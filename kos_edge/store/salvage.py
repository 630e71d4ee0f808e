"""Salvage: a new database out of a damaged one, with everything in it that can still be proven.

A pack proves itself by its signature, a membership by its chain. Positions follow from the packs and from what the
stream's own row says where both agree. What cannot be proven stays in the damaged file, which is moved aside and
never deleted, and is counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from kos_edge.delivery.spans import Run, Spans
from kos_edge.errors import Invalid, KosError
from kos_edge.klp import cbor
from kos_edge.klp.header import Link
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.message import Reason
from kos_edge.klp.pack import Stream
from kos_edge.klp.sealed import Sealed, peek_sealed
from kos_edge.klp.tombstone import bury
from kos_edge.said import Said
from kos_edge.store import sql
from kos_edge.store.carve import Pages
from kos_edge.store.database import Damaged, Database, kept_log, log_of
from kos_edge.store.finds import (
    EPOCH_KEY,
    MEMBER_KIND,
    MESH_KEY,
    Finds,
    FoundPack,
    PackRow,
    Stand,
    from_copy,
    from_pages,
    from_sqlite,
    pack_row,
    standing,
    take_packs,
    take_small,
)
from kos_edge.store.records import Records
from kos_edge.store.streams import runs_to_blob, spans_of
from kos_edge.system import sync_directory

SALVAGE_KEY = "salvaged"

LEAD = 1 << 10 << 32
"""Epochs left out where it cannot be read how many were opened: 1,024 starts, far less than receivers wonder at."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What came of it: packs and messages that were kept; packs seen that nothing proves; own numbers that are gone."""

    aside: str
    packs: int
    messages: int
    unproven: int
    gone: int

    def encode(self) -> bytes:
        """As kept in `meta`."""
        return cbor.encode([self.aside, self.packs, self.messages, self.unproven, self.gone])

    @classmethod
    def decode(cls, raw: bytes) -> Salvaged:
        """From `meta`."""
        aside, packs, messages, unproven, gone = cbor.decode(raw)
        return cls(aside, packs, messages, unproven, gone)

    @property
    def text(self) -> str:
        """For a person."""
        return (
            f"the store was damaged: {self.messages:,} messages were kept, {self.unproven:,} packs cannot be read,"
            f" {self.gone:,} messages of this node are gone; the damaged file is {self.aside}"
        )


@dataclass(frozen=True, slots=True)
class Rescue:
    """What a salvage needs beside the file.

    `key` is this node's; `kept` gives the copy of `meta` and memberships that stands beside, empty where there is none;
    `stamp` says when, in the name of the file that is set aside.
    """

    key: KeyPair
    kept: Callable[[], dict[str, bytes]]
    stamp: Callable[[], str]
    random: Callable[[int], bytes] = os.urandom


def salvage(path: Path, rescue: Rescue) -> Salvaged:
    """Put a new database in the place of the damaged one at `path`, which nobody has open."""
    key = rescue.key
    log.error(
        "%s is damaged: what can be proven of it is brought into a new one",
        path,
        extra=Said.STORE_DAMAGED.of(),
    )
    fresh = path.with_name(f"{path.name}.salvage")
    _remove(fresh)
    kept = kept_log(path)
    cut_short = (
        kept.exists()
    )  # SQLite has left commits out: what it gives of a table is how it stood before them
    finds = Finds()
    with Pages(path, kept if cut_short else log_of(path), sql.PAGE_SIZE) as pages:
        given, whole = from_sqlite(path)
        carved = from_pages(pages.filed() if cut_short else chain(pages.filed(), pages.logged()))
        take_small(finds, (found for found in carved if found[0] not in whole))
        take_small(finds, given)
        if cut_short:
            take_small(finds, from_pages(pages.logged()))
        take_small(finds, from_copy(rescue.kept()))  # it has a checksum, what SQLite gives has none
        if (own := finds.meta.get("membership")) is not None:
            finds.records.setdefault((MEMBER_KIND, key.kid), own)
        take_packs(finds, chain(pages.filed(), pages.logged()), key)
        aside = _free_name(path, rescue.stamp())
        database = Database(fresh)
        try:
            salvaged = _write(database, finds, pages, key, aside.name)
        finally:
            database.close()
    _remove(fresh.with_name(f"{fresh.name}.reserve"))
    for suffix in ("", "-wal.kept", "-wal"):  # the file first: from then on the new one is what counts
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    aside.touch()  # where there was nothing: the warning goes with it
    _remove(path.with_name(f"{path.name}-shm"))
    finish(path)
    log.error("%s", salvaged.text, extra=Said.STORE_SALVAGED.of())
    return salvaged


def finish(path: Path) -> None:
    """Where the damaged file was moved aside and the new one is not in its place yet: put it there."""
    fresh = path.with_name(f"{path.name}.salvage")
    if fresh.exists() and not path.exists():
        for left in (kept_log(path), log_of(path)):  # never the log of one file beside another
            with contextlib.suppress(FileNotFoundError):
                left.rename(path.with_name(f"{path.name}.damaged-log-{left.suffix[1:]}"))
        fresh.rename(path)
        sync_directory(path.parent)


# -- writing


def _write(database: Database, finds: Finds, pages: Pages, key: KeyPair, aside: str) -> Salvaged:
    by_stream: dict[Stream, list[FoundPack]] = {stream: [] for stream in finds.streams}
    ids = standing(finds.packs.values())
    finds.packs.clear()
    for pack in ids.values():
        by_stream.setdefault(pack.stream, []).append(pack)
    for early in finds.ahead:
        by_stream.setdefault(early.stream, [])
    places, seal = _Ids(ids), _Seal(key, finds.meta.get(MESH_KEY, b""))
    messages = sum(pack.count for pack in ids.values())
    epochs = finds.epochs | {stream.epoch for stream in by_stream if stream.source == key.kid}
    epoch = max(epochs, default=0) + (0 if finds.epochs else LEAD)

    def work() -> Salvaged:
        gone = sum(
            _write_stream(database, stream, packs, finds, pages, places, seal)
            for stream, packs in by_stream.items()
        )
        for (kind, record), value in finds.records.items():
            database.execute(sql.RECORD_PUT, (kind, record, value))
        for name, at in finds.cursors.items():  # what comes next must be above every cursor
            database.execute(sql.CURSOR_PUT, (name, min(at, places.last)))
        for ident, outcome in finds.outcomes.items():
            database.execute(sql.OUTCOME_PUT, (ident, *outcome))
        records = Records(database)
        for letter in sorted(finds.dead.values(), key=lambda each: (each.number, each.at, each.id)):
            records.bury(letter)
        for kept in finds.latest.values():
            database.execute(sql.LATEST_PUT, kept)
        for item, value in finds.meta.items():
            database.put(item, value)
        database.put(EPOCH_KEY, epoch.to_bytes(8, "big"))
        salvaged = Salvaged(aside, len(ids), messages, len(finds.unproven), gone)
        database.put(SALVAGE_KEY, salvaged.encode())
        return salvaged

    (result,) = database.transact([work])
    if isinstance(result, KosError):
        raise result
    assert isinstance(result, Salvaged)
    return result


def _write_stream(
    database: Database,
    stream: Stream,
    packs: list[FoundPack],
    finds: Finds,
    pages: Pages,
    ids: _Ids,
    seal: _Seal,
) -> int:
    """One stream with its packs and where it stands; how many of its numbers are gone.

    Of our own a tombstone says it, so that receivers go on over them; what nobody can be told is not offered any more.
    """
    packs.sort(key=lambda pack: pack.first)
    stand = finds.streams.get(stream) or _stands(packs)
    held, chain, settled, floor, floor_hash, closed, uptime, ranges = stand
    own = stream.source == seal.key.kid
    spans = spans_of(ranges)
    if stream.cls.fresh and not own:
        held, chain, ranges = _runs(packs, pages, spans) or (held, chain, ranges)
    if packs and packs[-1].last >= held and (own or not stream.cls.fresh):
        held, chain = packs[-1].last, _again(pages, packs[-1])[1].chain_hash
    database.execute(sql.STREAM_ADD, (stream.source, stream.audience, stream.cls.code, stream.epoch))
    (row,) = database.execute("SELECT last_insert_rowid()").fetchone()
    gone = 0
    no_order = own and stream.cls.fresh  # what is settled of it, and so may have left, are runs
    before, link = (0, None) if no_order else (floor, floor_hash)
    every: list[FoundPack | None] = [*packs, None]
    for following in every:
        first, ends_with = held + 1, b""
        after: Link = chain
        if following is not None:
            read, sealed = _again(pages, following)
            first, after, ends_with = following.first, sealed.prev, sealed.chain_hash
            values = (
                following.id,
                row,
                first,
                following.count,
                read.at,
                read.age,
                read.ttl,
                read.late,
                read.raw,
            )
            database.execute(sql.PACK_PUT, values)
        if no_order:
            for start, end in spans.gaps(before + 1, first - 1):
                gone += end - start + 1
                ends = link if start == before + 1 else None, after if end == first - 1 else None
                if (raw := seal.tombstone(stream, start, end, *ends)) is not None:
                    ident = ids.between(following)
                    put = (ident, row, start, end - start + 1, 0, None, None, None, raw)
                    database.execute(sql.PACK_PUT, put)
        elif first > before + 1:
            gone += 0 if stream.cls.fresh else first - before - 1
            if own and first - 1 > settled:
                raw = seal.tombstone(stream, before + 1, first - 1, link, after)
                if raw is None and following is None:
                    held, chain = before, link  # nobody can be told how it ended: it is not claimed
                elif raw is None:
                    settled = max(settled, first - 1) if before <= settled else settled
                else:
                    ident = ids.between(following)
                    put = (ident, row, before + 1, first - before - 1, 0, None, None, None, raw)
                    database.execute(sql.PACK_PUT, put)
        if following is not None:
            before, link = max(before, following.last), ends_with
    place = (held, chain, min(settled, held), floor, floor_hash, closed, uptime, ranges, row)
    database.execute(sql.STREAM_POSITION, place)
    for early in finds.ahead:
        if early.stream == stream and early.first > held:
            read, _ = _again(pages, early)
            database.execute(sql.AHEAD_ADD, (row, early.first, early.count, read.age, read.raw))
    return gone


def _again(pages: Pages, pack: FoundPack) -> tuple[PackRow, Sealed]:
    """A pack that was proven, read once more. Raises Damaged where the disk gives something else now."""
    row = pages.row(pack.place)
    read = None if row is None else pack_row(row)
    if read is None or read.id != pack.id:
        raise Damaged(
            "the disk does not give again what it has given", hint="see dmesg, and copy the file elsewhere"
        )
    return read, peek_sealed(read.raw)


def _runs(
    packs: Iterable[FoundPack], pages: Pages, spans: Spans
) -> tuple[int, bytes | None, bytes | None] | None:
    """Where a received fresh-first stream stands with what is there of it: its end, its hash, the runs; None: nowhere.

    What is there is held, whatever the row says: that may be an older version, or lost.
    """
    for pack in packs:
        _, sealed = _again(pages, pack)
        prev = sealed.prev if pack.first == sealed.first else None
        spans.add(Run(pack.first, pack.last, prev, sealed.chain_hash if pack.last == sealed.last else None))
    top = spans.top
    return None if top is None else (top.last, top.hash, runs_to_blob(spans))


def _stands(packs: list[FoundPack]) -> Stand:
    """Where a stream stands of which only packs are left."""
    floor = packs[0].first - 1 if packs else 0
    return (floor, None, floor, floor, None, 0, 0, None)


@dataclass(frozen=True, slots=True)
class _Seal:
    key: KeyPair
    mesh: bytes

    def tombstone(self, stream: Stream, first: int, last: int, before: Link, after: Link) -> bytes | None:
        """The signed word that these numbers are gone; None where it cannot name what is before and after them."""
        try:
            if not isinstance(after, bytes):
                return None
            return bury(
                stream, first, last - first + 1, Reason.DAMAGED, prev=before, chain_hash=after, key=self.key,
                mesh=self.mesh,
            )  # fmt: skip
        except Invalid:
            return None


class _Ids:
    """The ids of the journal: what is put in the place of something lost gets one that is free there."""

    def __init__(self, taken: Iterable[int]) -> None:
        self._taken = set(taken)

    @property
    def last(self) -> int:
        return max(self._taken, default=0)

    def between(self, following: FoundPack | None) -> int:
        """A free one before this pack, or behind all."""
        ident = self.last + 1 if following is None else following.id - 1
        while ident in self._taken:
            ident -= 1
        self._taken.add(ident)
        return ident


def _free_name(path: Path, stamp: str) -> Path:
    for number in range(1_000):
        found = path.with_name(f"{path.name}.damaged-{stamp}" + (f"-{number}" if number else ""))
        if not found.exists():
            return found
    raise Damaged(f"{path} is damaged, and a thousand others stand beside it")


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
