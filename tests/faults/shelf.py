"""A hub's store with its own and a neighbour's messages in it, to be damaged, and what has to come out of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kos_edge.delivery.receipts import Settled
from kos_edge.errors import KosError
from kos_edge.klp.body import Data
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Class, Message, Priority
from kos_edge.klp.sealed import Sealed
from kos_edge.klp.tombstone import Tombstone
from kos_edge.mesh.authority import Authority
from kos_edge.node.kept_meta import keep_meta, kept_meta, kept_or_empty
from kos_edge.store.database import Damaged
from kos_edge.store.finds import is_proven
from kos_edge.store.journal import Incoming
from kos_edge.store.outbox import Stamp
from kos_edge.store.salvage import Rescue
from kos_edge.store.store import Store

LANES = (("edge", Class()), ("edge", Class(Priority.CRITICAL)))
AT = 1_800_000_000.0


def _random(seed: bytes) -> Callable[[int], bytes]:
    return lambda size: (seed * size)[:size]


@dataclass
class Shelf:
    """The store at `path`. `accepted`: raw packs by (stream, first) whose commit has returned."""

    path: Path
    accepted: dict[tuple[object, int], bytes] = field(default_factory=dict)
    epochs: set[int] = field(default_factory=set)
    settled: int = 0

    def __post_init__(self) -> None:
        self.authority = Authority.create(_random(b"authority"))
        self.mesh = self.authority.mesh
        self.key = KeyPair.from_seed(bytes(32))
        self.other = KeyPair.from_seed(b"\1" * 32)
        self._far = Store(":memory:")
        self._far.own(self.other.kid)
        self._far.database.transact([lambda: self._far.outbox.open_epoch(_random(b"far"))])
        self._sent = 0

    @property
    def rescue(self) -> Rescue:
        kept = kept_meta(self.path.parent)
        return Rescue(self.key, lambda: kept_or_empty(kept), lambda: "now", _random(b"rescue"))

    def proves(self, sealed: Sealed) -> bool:
        public = {key.kid: key.public for key in (self.key, self.other)}.get(sealed.stream.source)
        return public is not None and is_proven(sealed, public, [self.mesh])

    def open(self) -> Store:
        """Open it as a node does: salvage what is damaged, and begin an epoch."""
        store = Store(self.path, self.rescue)
        store.prove = self.proves
        kept = kept_meta(self.path.parent)
        store.keep = lambda meta: keep_meta(kept, meta)
        try:
            store.own(self.key.kid)
        except (Damaged, sqlite3.DatabaseError):
            assert store.salvage()
        self.transact(store, lambda: store.outbox.open_epoch(_random(b"here")))
        self.epochs.add(store.outbox.epoch)
        return store

    def found(self, store: Store) -> None:
        """A new node's first records."""
        members = [
            self.authority.issue_issuer(key.public, name, at=AT, random=_random(name.encode()))
            for key, name in ((self.key, "hub"), (self.other, "edge"))
        ]

        def work() -> None:
            store.database.put("mesh", self.mesh)
            store.database.put("membership", members[0].cwt)
            for member in members:
                store.records.put("member", member.kid, member.cwt)
            store.records.move_cursor("reader", 0)

        self.transact(store, work)

    def fill(self, store: Store, rounds: int) -> None:
        """Commits as a hub has them: its own messages, a neighbour's, receipts, cursors."""
        for number in range(self._round, self._round + rounds):
            lane = LANES[number % 2]
            size = (20, 300, 2_500)[number % 3]
            messages = [
                Message("air.temperature", Data(f"{number} {each} ".ljust(size, "x"))) for each in range(3)
            ]
            stamp = Stamp(1_000 + number, None, None)
            if number % 3 == 2:
                self._receive(store, number, messages)
            else:
                given = (self.key, self.mesh, lane, messages, stamp)
                self.transact(store, partial(_append, store, given))
            if number % 10 == 9:
                owed = store.outbox.owed()[-1]
                half = Settled(owed.stream, owed.first + (owed.last - owed.first) // 2)
                self.transact(store, partial(_settle, store, half))
            if number % 7 == 6:
                last = store.packs.last_id
                self.transact(store, partial(_move_cursor, store, last))
            self._note(store)
        self._round += rounds

    def _receive(self, store: Store, number: int, messages: list[Message]) -> None:
        stamp = Stamp(number, None, None)
        self.transact(
            self._far,
            lambda: self._far.outbox.append(
                self.other, self.mesh, ("hub", Class()), messages, stamp, settle=False
            ),
        )
        entries = self._far.packs.read(self._sent)
        self._sent = entries[-1].id
        batch = [Incoming(entry.pack, 0) for entry in entries]
        self.transact(store, lambda: store.journal.take_in(batch, 1))

    def transact(self, store: Store, job: Callable[[], object]) -> object:
        """One commit, once more after a salvage as the writer does it; raises what the job raised."""
        try:
            (result,) = store.database.transact([job])
        except Damaged:
            assert store.salvage()
            (result,) = store.database.transact([job])
        if isinstance(result, KosError):
            raise result
        return result

    def cursor(self, store: Store) -> int:
        """How far the reader has come, after a salvage where that cannot be read."""
        try:
            return store.records.cursor("reader") or 0
        except sqlite3.DatabaseError:
            assert store.salvage()
            return store.records.cursor("reader") or 0

    def _note(self, store: Store) -> None:
        for raw in self.packs(store, self._noted):
            self.accepted[raw[0]] = raw[1]
        self._noted = store.packs.last_id

    _noted = 0
    _round = 0

    def packs(self, store: Store, after: int = 0) -> list[tuple[tuple[object, int], bytes]]:
        """Every pack that the store gives, salvaging what turns out to be damaged on the way."""
        found: list[tuple[tuple[object, int], bytes]] = []
        while True:
            try:
                page = store.packs.read(after)
            except (Damaged, sqlite3.DatabaseError):
                assert store.salvage()
                found, after = [], 0
                continue
            if not page:
                return found
            for entry in page:
                if not isinstance(entry.pack, Tombstone):
                    found.append(((entry.pack.stream, entry.first), entry.pack.raw))
            after = page[-1].id


def _append(store: Store, given: tuple[KeyPair, bytes, tuple[str, Class], list[Message], Stamp]) -> object:
    return store.outbox.append(*given, settle=False)


def _settle(store: Store, settled: Settled) -> object:
    return store.outbox.settle(settled)


def _move_cursor(store: Store, place: int) -> None:
    store.records.move_cursor("reader", place)


def touches(raw: bytes, page: bytes) -> bool:
    """Whether some of these bytes are on this page."""
    windows = [raw[start : start + 16] for start in range(0, len(raw) - 16, 16)] + [raw[-16:]]
    return any(window in page for window in windows)
