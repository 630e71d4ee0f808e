"""Salvage: a new database out of a damaged one, with everything in it that can still be proven.

A pack proves itself by its signature, a membership by its chain. Positions follow from the packs and from what the
stream's own row says where both agree. What cannot be proven stays in the damaged file, which is moved aside and
never deleted, and is counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from kos_edge.errors import Invalid, KosError
from kos_edge.klp import cbor
from kos_edge.klp.header import Link
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.message import Reason
from kos_edge.klp.pack import Class, Stream
from kos_edge.klp.sealed import Sealed, peek_sealed
from kos_edge.klp.tombstone import Tombstone, bury
from kos_edge.mesh.membership import verify_membership
from kos_edge.store import sql
from kos_edge.store.carve import Pages, Row
from kos_edge.store.database import MEMBER_PREFIX, Damaged, Database, kept_log, log_of

EPOCH_KEY = "epoch"
MESH_KEY = "mesh"
SALVAGE_KEY = "salvaged"
LEFT_KEY = "meshes"
MEMBER_KIND = sql.MEMBERS_KIND

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


@dataclass(slots=True)
class _Pack:
    id: int
    sealed: Sealed
    first: int
    count: int
    at: int
    age: int | None
    ttl: int | None
    late: int | None

    @property
    def last(self) -> int:
        return self.first + self.count - 1

    @property
    def version(self) -> tuple[int, bool, int]:
        """The higher one of two with one id is the later."""
        return self.sealed.stream.epoch, isinstance(self.sealed, Tombstone), self.count


Stand = tuple[int, bytes | None, int, int, bytes | None, int, int, bytes | None]
"""held, hash, settled, floor, floor_hash, closed, uptime, ranges: as in the table of streams."""


@dataclass(slots=True)
class _Finds:
    """What was found, by table; of several versions the last one stands."""

    meta: dict[str, bytes] = field(default_factory=dict)
    records: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    dead: dict[str, tuple[int, int, str, bytes]] = field(default_factory=dict)
    latest: dict[tuple[object, ...], tuple[object, ...]] = field(default_factory=dict)
    streams: dict[Stream, Stand] = field(default_factory=dict)
    ahead: list[_Pack] = field(default_factory=list)
    packs: dict[tuple[Stream, int], _Pack] = field(default_factory=dict)
    epochs: set[int] = field(default_factory=set)
    unproven: set[int] = field(default_factory=set)


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
    log.error("%s is damaged: what can be proven of it is brought into a new one", path)
    fresh = path.with_name(f"{path.name}.salvage")
    _remove(fresh)
    kept = kept_log(path)
    cut_short = (
        kept.exists()
    )  # SQLite has left commits out: what it gives of a table is how it stood before them
    pages = Pages(path, kept if cut_short else log_of(path), sql.PAGE_SIZE)
    finds = _Finds()
    filed, logged = list(pages.filed()), list(pages.logged())
    rows = filed + logged
    given, whole = _from_sqlite(path)
    carved = _from_pages(filed if cut_short else rows)
    _take_small(finds, (found for found in carved if found[0] not in whole))
    _take_small(finds, given)
    if cut_short:
        _take_small(finds, _from_pages(logged))
    _take_small(finds, _from_copy(rescue.kept()))  # it has a checksum, what SQLite gives has none
    if (own := finds.meta.get("membership")) is not None:
        finds.records.setdefault((MEMBER_KIND, key.kid), own)
    _take_packs(finds, rows, key)
    aside = _free_name(path, rescue.stamp())
    database = Database(fresh)
    try:
        salvaged = _write(database, finds, key, aside.name)
    finally:
        database.close()
    _remove(fresh.with_name(f"{fresh.name}.reserve"))
    for suffix in ("", "-wal.kept", "-wal"):  # the file first: from then on the new one is what counts
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    aside.touch()  # where there was nothing: the warning goes with it
    _remove(path.with_name(f"{path.name}-shm"))
    finish(path)
    log.error("%s", salvaged.text)
    return salvaged


def finish(path: Path) -> None:
    """Where the damaged file was moved aside and the new one is not in its place yet: put it there."""
    fresh = path.with_name(f"{path.name}.salvage")
    if fresh.exists() and not path.exists():
        for left in (kept_log(path), log_of(path)):  # never the log of one file beside another
            with contextlib.suppress(FileNotFoundError):
                left.rename(path.with_name(f"{path.name}.damaged-log-{left.suffix[1:]}"))
        fresh.rename(path)
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_proven(sealed: Sealed, public: bytes, meshes: Iterable[bytes]) -> bool:
    """Whether its source has signed this in one of the meshes that this node belongs or has belonged to."""
    for mesh in meshes:
        with contextlib.suppress(Invalid):
            sealed.verify(public, mesh)
            return True
    return False


def meshes_in(raw: bytes | None) -> list[bytes]:
    """The ids of meshes that this node has left, as kept in `meta`."""
    return [] if raw is None else [raw[at : at + 32] for at in range(0, len(raw), 32)]


# -- finding


def _from_pages(rows: Iterable[Row]) -> Iterable[tuple[str, tuple[object, ...]]]:
    """Rows of the small tables, told by their shape; not of `latest`, for what was replaced must not come again."""
    for row in rows:
        match row.values:
            case (str(), bytes()) if row.rowid is None:
                yield "meta", row.values
            case (str(), bytes(), bytes()) if row.rowid is None:
                yield "record", row.values
            case (str(), int()) if row.rowid is None:
                yield "cursor", row.values
            case (str(), int(), bytes()) if row.rowid is None:
                yield "outcome", row.values
            case (str(), int(), int(), str(), bytes()) if row.rowid is None:
                yield "dead", row.values
            case (None, bytes(), str(), int(), int(), int(), _, int(), int(), _, int(), int(), *_):
                yield "stream", row.values[1:]


def _from_copy(kept: dict[str, bytes]) -> Iterable[tuple[str, tuple[object, ...]]]:
    """Rows of `meta` and memberships from the copy that stands beside the file."""
    for key, value in kept.items():
        if key.startswith(MEMBER_PREFIX):
            yield "record", (MEMBER_KIND, bytes.fromhex(key.removeprefix(MEMBER_PREFIX)), value)
        else:
            yield "meta", (key, value)


def _from_sqlite(path: Path) -> tuple[list[tuple[str, tuple[object, ...]]], set[str]]:
    """Rows of the small tables as far as SQLite gives them, and which tables it read to their end.

    What it reads whole is how it stands; of the others stale rows may come out of the raw pages.
    """
    rows: list[tuple[str, tuple[object, ...]]] = []
    whole: set[str] = set()
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    except sqlite3.Error:
        return rows, whole
    with contextlib.closing(connection):
        for table, columns in _SMALL.items():
            try:
                cursor = connection.execute(f"SELECT {columns} FROM {table}")
                while (row := cursor.fetchone()) is not None:
                    rows.append((table, row))
                whole.add(table)
            except sqlite3.Error:
                continue
    return rows, whole


_SMALL = {
    "meta": "key, value",
    "record": "kind, key, value",
    "cursor": "name, pack",
    "outcome": "id, at, value",
    "dead": "id, at, reason, topic, message",
    "latest": "audience, class, topic, uptime, at, uncertainty, message",
    "stream": "source, audience, class, epoch, held, hash, settled, floor, floor_hash, closed, uptime, ranges",
}


def _take_small(finds: _Finds, rows: Iterable[tuple[str, tuple[object, ...]]]) -> None:
    """Take rows into what was found; the later one of a key stands."""
    for table, values in rows:
        match table, values:
            case "meta", (str(key), bytes(value)):
                if key == EPOCH_KEY:
                    finds.epochs.add(int.from_bytes(value[:8], "big"))
                finds.meta[key] = value
            case "record", (str(kind), bytes(key), bytes(value)):
                finds.records[kind, key] = value
            case "cursor", (str(name), int(pack)):
                finds.cursors[name] = pack
            case "outcome", (str(ident), int(at), bytes(value)):
                finds.outcomes[ident] = (at, value)
            case "dead", (str(ident), int(at), int(reason), str(topic), bytes(message)):
                finds.dead[ident] = (at, reason, topic, message)
            case "latest", (str(), int(), str(), int(), _, _, bytes()):
                finds.latest[values[:3]] = values
            case "stream", (bytes(source), str(audience), int(code), int(epoch), *rest):
                with contextlib.suppress(Invalid):
                    stream = Stream(source, audience, Class.from_code(code), epoch)
                    finds.streams[stream] = _stand(*rest)


def _stand(*values: object) -> Stand:
    held, chain, settled, floor, floor_hash, closed, uptime, *more = values
    ranges = more[0] if more else None
    numbers = (held, settled, floor, closed, uptime)
    hashes = (chain, floor_hash, ranges)
    if not all(isinstance(n, int) and n >= 0 for n in numbers) or not all(
        h is None or isinstance(h, bytes) for h in hashes
    ):
        raise Invalid("not where a stream stands")
    return (held, chain, settled, floor, floor_hash, closed, uptime, ranges)  # type: ignore[return-value]


def _take_packs(finds: _Finds, rows: Iterable[Row], key: KeyPair) -> None:
    """Take every pack that its signature proves; of one in several versions the one that has most left."""
    mesh = finds.meta.get(MESH_KEY, b"")
    meshes = [mesh, *meshes_in(finds.meta.get(LEFT_KEY))]
    publics = {key.kid: key.public}
    for (kind, kid), cwt in finds.records.items():
        if kind == MEMBER_KIND:
            with contextlib.suppress(KosError):
                publics[kid] = verify_membership(cwt, mesh).public
    proven: set[int] = set()
    for row in rows:
        match row.values:
            case (None, int(), int(first), int(count), int(at), age, ttl, bytes(raw), *more) if row.rowid:
                ident, late = row.rowid, more[0] if more else None
            case (int(), int(first), int(count), age, bytes(raw)) if row.rowid is None:
                ident, at, ttl, late = 0, 0, None, None
            case _:
                continue
        try:
            sealed = peek_sealed(raw)
            if not is_proven(sealed, publics[sealed.stream.source], meshes):
                raise Invalid("not signed by its source")
            if not sealed.first <= first <= first + count - 1 <= sealed.last:
                first, count = sealed.first, sealed.count
        except (Invalid, KeyError):
            finds.unproven.add(ident)
            continue
        proven.add(ident)
        found = _Pack(ident, sealed, first, count, at, _number(age), _number(ttl), _number(late))
        if not ident:
            finds.ahead.append(found)
            continue
        place = (sealed.stream, first)
        before = finds.packs.get(place)
        if before is None or before.id <= ident:
            finds.packs[place] = found
    finds.unproven -= proven | {0}


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _standing(packs: Iterable[_Pack]) -> dict[int, _Pack]:
    """What stands under each id, without what is only left of former versions of its page.

    What is numbered anew keeps its id in a later epoch; a tombstone has that of the last pack that it has buried.
    """
    ids: dict[int, _Pack] = {}
    for pack in packs:
        before = ids.get(pack.id)
        if before is None or before.version <= pack.version:
            ids[pack.id] = pack
    ends: dict[Stream, int] = {}  # of the tombstone that reaches furthest so far
    for pack in sorted(ids.values(), key=lambda pack: (pack.first, -pack.last)):
        end = ends.get(pack.sealed.stream, 0)
        if pack.last <= end:
            del ids[pack.id]
        elif isinstance(pack.sealed, Tombstone):
            ends[pack.sealed.stream] = pack.last
    return ids


# -- writing


def _write(database: Database, finds: _Finds, key: KeyPair, aside: str) -> Salvaged:
    by_stream: dict[Stream, list[_Pack]] = {stream: [] for stream in finds.streams}
    ids = _standing(finds.packs.values())
    for pack in ids.values():
        by_stream.setdefault(pack.sealed.stream, []).append(pack)
    for early in finds.ahead:
        by_stream.setdefault(early.sealed.stream, [])
    places, seal = _Ids(ids), _Seal(key, finds.meta.get(MESH_KEY, b""))
    messages = sum(pack.count for pack in ids.values())
    epochs = finds.epochs | {stream.epoch for stream in by_stream if stream.source == key.kid}
    epoch = max(epochs, default=0) + (0 if finds.epochs else LEAD)

    def work() -> Salvaged:
        gone = sum(
            _write_stream(database, stream, packs, finds, places, seal) for stream, packs in by_stream.items()
        )
        for (kind, record), value in finds.records.items():
            database.execute(sql.RECORD_PUT, (kind, record, value))
        for name, at in finds.cursors.items():  # what comes next must be above every cursor
            database.execute(sql.CURSOR_PUT, (name, min(at, places.last)))
        for ident, outcome in finds.outcomes.items():
            database.execute(sql.OUTCOME_PUT, (ident, *outcome))
        for ident, letter in finds.dead.items():
            database.execute(sql.DEAD_ADD, (ident, *letter))
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
    database: Database, stream: Stream, packs: list[_Pack], finds: _Finds, ids: _Ids, seal: _Seal
) -> int:
    """One stream with its packs and where it stands; how many of its numbers are gone.

    Of our own a tombstone says it, so that receivers go on over them; what nobody can be told is not offered any more.
    """
    packs.sort(key=lambda pack: pack.first)
    stand = finds.streams.get(stream) or _stands(packs)
    held, chain, settled, floor, floor_hash, closed, uptime, ranges = stand
    own = stream.source == seal.key.kid
    if packs and packs[-1].last >= held and (own or not stream.cls.fresh):
        held, chain = packs[-1].last, packs[-1].sealed.chain_hash
    database.execute(sql.STREAM_ADD, (stream.source, stream.audience, stream.cls.code, stream.epoch))
    (row,) = database.execute("SELECT last_insert_rowid()").fetchone()
    for pack in packs:
        values = (
            pack.id, row, pack.first, pack.count, pack.at, pack.age, pack.ttl, pack.late, pack.sealed.raw
        )  # fmt: skip
        database.execute(sql.PACK_PUT, values)
    gone = 0
    before, link = floor, floor_hash
    every: list[_Pack | None] = [*packs, None]
    for following in every:
        first = held + 1 if following is None else following.first
        if first > before + 1:
            gone += 0 if stream.cls.fresh and not own else first - before - 1
            after = chain if following is None else following.sealed.prev
            if own and first - 1 > settled and not stream.cls.fresh:
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
            before, link = max(before, following.last), following.sealed.chain_hash
    place = (held, chain, min(settled, held), floor, floor_hash, closed, uptime, ranges, row)
    database.execute(sql.STREAM_POSITION, place)
    for early in finds.ahead:
        if early.sealed.stream == stream and early.first > held:
            database.execute(sql.AHEAD_ADD, (row, early.first, early.count, early.age, early.sealed.raw))
    return gone


def _stands(packs: list[_Pack]) -> Stand:
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

    def between(self, following: _Pack | None) -> int:
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
