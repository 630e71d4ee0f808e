"""Finds: what is in a damaged store, from its raw pages, from SQLite as far as it goes, and from the copy beside.

A pack counts where its signature proves it. Of the small tables the later word stands.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from kos_edge.delivery.wire import Reason
from kos_edge.errors import Invalid, KosError
from kos_edge.klp.identity import KeyPair, kid_of
from kos_edge.klp.pack import Class, Stream
from kos_edge.klp.sealed import Sealed, peek_sealed
from kos_edge.klp.tombstone import Tombstone
from kos_edge.mesh.membership import verify_membership
from kos_edge.store import sql
from kos_edge.store.carve import Row
from kos_edge.store.database import MEMBER_PREFIX
from kos_edge.store.records import Dead
from kos_edge.store.streams import spans_of

EPOCH_KEY = "epoch"
MESH_KEY = "mesh"
LEFT_KEY = "meshes"
FORMER_KEY = "former keys"
MEMBER_KIND = sql.MEMBERS_KIND

Found = tuple[str, tuple[object, ...]]
"""A row of one of the small tables: the table's name and the values."""


@dataclass(slots=True)
class FoundPack:
    """A pack or tombstone that is proven; without an id where it waited ahead. Its bytes stay where they are."""

    id: int
    stream: Stream
    first: int
    count: int
    tombstone: bool
    place: int
    """Of its row: see `kos_edge.store.carve`."""

    @property
    def last(self) -> int:
        return self.first + self.count - 1

    @property
    def version(self) -> tuple[int, bool, int]:
        """The higher one of two with one id is the later."""
        return self.stream.epoch, self.tombstone, self.count


@dataclass(frozen=True, slots=True)
class PackRow:
    """What the row of a pack says; `id` 0 in the table of those that wait ahead."""

    id: int
    first: int
    count: int
    at: int
    age: int | None
    ttl: int | None
    late: int | None
    raw: bytes


Stand = tuple[int, bytes | None, int, int, bytes | None, int, int, bytes | None]
"""held, hash, settled, floor, floor_hash, closed, uptime, ranges: as in the table of streams."""


@dataclass(slots=True)
class Finds:
    """What was found, by table; of several versions the last one stands."""

    meta: dict[str, bytes] = field(default_factory=dict)
    records: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    dead: dict[str, Dead] = field(default_factory=dict)
    latest: dict[tuple[object, ...], tuple[object, ...]] = field(default_factory=dict)
    streams: dict[Stream, Stand] = field(default_factory=dict)
    ahead: list[FoundPack] = field(default_factory=list)
    packs: dict[tuple[Stream, int], FoundPack] = field(default_factory=dict)
    epochs: set[int] = field(default_factory=set)
    unproven: set[int] = field(default_factory=set)


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


def former_in(raw: bytes | None) -> dict[bytes, bytes]:
    """The public keys that this node had, as kept in `meta`, by kid."""
    publics = [] if raw is None else [raw[at : at + 32] for at in range(0, len(raw), 32)]
    return {kid_of(public): public for public in publics}


def from_pages(rows: Iterable[Row]) -> Iterable[Found]:
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
            case (str(), int(), int(), str(), bytes(), *_) if row.rowid is None:
                yield "dead", row.values
            case (None, bytes(), str(), int(), int(), int(), _, int(), int(), _, int(), int(), *_):
                yield "stream", row.values[1:]


def from_copy(kept: dict[str, bytes]) -> Iterable[Found]:
    """Rows of `meta` and memberships from the copy that stands beside the file."""
    for key, value in kept.items():
        if key.startswith(MEMBER_PREFIX):
            yield "record", (MEMBER_KIND, bytes.fromhex(key.removeprefix(MEMBER_PREFIX)), value)
        else:
            yield "meta", (key, value)


def from_sqlite(path: Path) -> tuple[list[Found], set[str]]:
    """Rows of the small tables as far as SQLite gives them, and which tables it read to their end.

    What it reads whole is how it stands; of the others stale rows may come out of the raw pages.
    """
    rows: list[Found] = []
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
    "dead": "*",  # this and the next have fewer columns where a former version has written them
    "latest": "*",
    "stream": "source, audience, class, epoch, held, hash, settled, floor, floor_hash, closed, uptime, ranges",
}


def take_small(finds: Finds, rows: Iterable[Found]) -> None:
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
            case "dead", (str(ident), int(at), int(reason), str(topic), bytes(message), *more):
                finds.dead[ident] = _dead(ident, at, reason, topic, message, more)
            case "latest", (str(), int(), str(), int(), _, _, bytes(), *steady):
                finds.latest[values[:3]] = (*values[:7], *(steady or [None]))
            case "stream", (bytes(source), str(audience), int(code), int(epoch), *rest):
                with contextlib.suppress(Invalid, TypeError, ValueError):
                    stream = Stream(source, audience, Class.from_code(code), epoch)
                    finds.streams[stream] = _stand(*rest)


def _dead(ident: str, at: int, reason: int, topic: str, message: bytes, more: list[object]) -> Dead:
    """A letter, also of a schema before the sixth, in which `at` was when it was said if its handler broke of it."""
    match more:
        case [int() | None as stamped, int(number)]:
            return Dead(ident, at, reason, topic, message, stamped, number)
    if reason == Reason.HANDLER:
        return Dead(ident, 0, reason, topic, message, at or None)
    return Dead(ident, at, reason, topic, message)


def _stand(*values: object) -> Stand:
    held, chain, settled, floor, floor_hash, closed, uptime, *more = values
    ranges = more[0] if more else None
    numbers = (held, settled, floor, closed, uptime)
    hashes = (chain, floor_hash, ranges)
    if not all(isinstance(n, int) and n >= 0 for n in numbers) or not all(
        h is None or isinstance(h, bytes) for h in hashes
    ):
        raise Invalid("not where a stream stands")
    spans_of(ranges)  # type: ignore[arg-type]
    return (held, chain, settled, floor, floor_hash, closed, uptime, ranges)  # type: ignore[return-value]


def take_packs(finds: Finds, rows: Iterable[Row], key: KeyPair) -> None:
    """Take every pack that its signature proves; of one in several versions the one that has most left."""
    mesh = finds.meta.get(MESH_KEY, b"")
    meshes = [mesh, *meshes_in(finds.meta.get(LEFT_KEY))]
    publics = former_in(finds.meta.get(FORMER_KEY))
    for (kind, _), cwt in finds.records.items():
        if kind == MEMBER_KIND:
            with contextlib.suppress(KosError):
                member = verify_membership(cwt, mesh)
                publics[member.kid] = member.public
    publics[key.kid] = key.public
    proven: set[int] = set()
    streams: dict[Stream, Stream] = {}  # one object for each, however many packs it has
    for row in rows:
        read = pack_row(row)
        if read is None:
            continue
        ident, first, count = read.id, read.first, read.count
        try:
            sealed = peek_sealed(read.raw)
            if not is_proven(sealed, publics[sealed.stream.source], meshes):
                raise Invalid("not signed by its source")
            if not sealed.first <= first <= first + count - 1 <= sealed.last:
                first, count = sealed.first, sealed.count
        except (Invalid, KeyError):
            finds.unproven.add(ident)
            continue
        proven.add(ident)
        stream = streams.setdefault(sealed.stream, sealed.stream)
        found = FoundPack(ident, stream, first, count, isinstance(sealed, Tombstone), row.place)
        if not ident:
            finds.ahead.append(found)
            continue
        place = (stream, first)
        before = finds.packs.get(place)
        if before is None or before.id <= ident:
            finds.packs[place] = found
    finds.unproven -= proven | {0}


def pack_row(row: Row) -> PackRow | None:
    """The row as one of the tables of packs, as far as its shape tells."""
    match row.values:
        case (None, int(), int(first), int(count), int(at), age, ttl, bytes(raw), *more) if row.rowid:
            late = _number(more[0]) if more else None
            return PackRow(row.rowid, first, count, at, _number(age), _number(ttl), late, raw)
        case (int(), int(first), int(count), age, bytes(raw)) if row.rowid is None:
            return PackRow(0, first, count, 0, _number(age), None, None, raw)
    return None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def standing(packs: Iterable[FoundPack]) -> dict[int, FoundPack]:
    """What stands under each id, without what is only left of former versions of its page.

    What is numbered anew keeps its id in a later epoch; a tombstone has that of the last pack that it has buried.
    """
    ids: dict[int, FoundPack] = {}
    for pack in packs:
        before = ids.get(pack.id)
        if before is None or before.version <= pack.version:
            ids[pack.id] = pack
    ends: dict[Stream, int] = {}  # of the tombstone that reaches furthest so far
    for pack in sorted(ids.values(), key=lambda pack: (pack.first, -pack.last)):
        end = ends.get(pack.stream, 0)
        if pack.last <= end:
            del ids[pack.id]
        elif pack.tombstone:
            ends[pack.stream] = pack.last
    return ids
