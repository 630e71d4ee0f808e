"""The table of packs and tombstones: appended, read in order of arrival, deleted from the old end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from kos_edge.errors import Invalid
from kos_edge.klp.message import Reason
from kos_edge.klp.sealed import Sealed, peek_sealed
from kos_edge.klp.tombstone import is_tombstone, peek_tombstone
from kos_edge.store import sql
from kos_edge.store.database import Damaged, Database
from kos_edge.store.streams import StreamRow


@dataclass(frozen=True, slots=True)
class Entry:
    """One pack, or a tombstone, as kept.

    It stands for the numbers `first` to `last`: of a received tombstone's run, those that were not held before it.
    `at` is the wall clock of its commit here in ms, `age_ms` its age on arrival if known.
    """

    id: int
    pack: Sealed
    first: int
    last: int
    at: int
    age_ms: int | None
    late: bool = False
    """Something newer of its lane had come before."""


class Packs:
    """Every pack that this node made or received; `bytes` is their size together, `last_id` the newest's.

    No id is given twice, for readers go by them: `above` says up to where readers may have come already.
    """

    def __init__(
        self,
        database: Database,
        prove: Callable[[Sealed], bool] = lambda sealed: True,
        *,
        above: int = 0,
    ) -> None:
        self._database = database
        self._prove = prove
        self._above = above
        self.bytes = 0
        self.count = 0
        self.last_id = 0
        self._messages: int | None = None
        self._gone: Counter[Reason] = Counter()
        self.load()
        self._doubted = self.last_id  # up to here it was written by another process: proven before it is used

    def load(self) -> None:
        """Count again from the file; messages not before somebody asks."""
        self._messages = None
        self.bytes, self.count, last = self._database.execute(sql.PACK_TOTALS).fetchone()
        self.last_id = max(last, self._above)

    def add(
        self,
        stream: int,
        first: int,
        count: int,
        sealed: bytes,
        *,
        at: int,
        age: int | None,
        ttl: int | None,
        late: bool = False,
    ) -> int:
        """Append one pack; inside a transaction. Its id comes back."""
        values = (self.last_id + 1, stream, first, count, at, age, ttl, late or None, sealed)
        self._database.execute(sql.PACK_PUT, values)
        self.last_id += 1
        self.bytes += len(sealed)
        self.count += 1
        self._tally(count, sealed, 1)
        return self.last_id

    def messages(self) -> int:
        """How many messages are kept: counted in the whole file once, and from then on as they come and go."""
        if self._messages is None:
            self._gone.clear()
            for count, raw in self._database.execute(sql.PACK_TOMBSTONES):
                if (reason := _reason(bytes(raw))) is not None:
                    self._gone[reason] += count
            self._messages = int(self._database.execute(sql.PACK_MESSAGES).fetchone()[0])
        return self._messages

    def _tally(self, count: int, sealed: bytes | None, sign: int) -> None:
        """Count what came (1) or goes (-1), once it was asked for; without `sealed` it is no tombstone."""
        if self._messages is None:
            return
        if sealed is None or not is_tombstone(sealed):
            self._messages += sign * count
        elif (reason := _reason(sealed)) is not None:
            self._gone[reason] += sign * count

    def _forget(self, ident: int) -> None:
        """Count out what stands there now, before it goes."""
        if self._messages is not None:
            row = self._database.execute(sql.PACK_KIND, (ident,)).fetchone()
            if row is not None:
                self._tally(row[0], row[1], -1)

    def gone(self) -> Counter[Reason]:
        """How many numbers the tombstones that are kept stand for, by their reason."""
        self.messages()
        return +self._gone

    def replace(self, ident: int, first: int, count: int, sealed: bytes, size: int) -> None:
        """Put what stands for `count` numbers from `first` on in the place of one of `size` bytes; in a transaction."""
        self._forget(ident)
        self._database.execute(sql.PACK_REPLACE, (first, count, sealed, ident))
        self._tally(count, sealed, 1)
        self.bytes += len(sealed) - size

    def oldest_at(self) -> int | None:
        """When the oldest pack was committed here, wall ms; None without any."""
        row = self._database.execute(sql.PACK_FIRST).fetchone()
        return None if row is None else int(row[0])

    def newest_at(self) -> int | None:
        """The latest time at which a pack was committed here; None without any."""
        row = self._database.execute(sql.PACK_NEWEST).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    def sealed(self, ident: int) -> bytes:
        """The bytes of one pack."""
        (raw,) = self._database.execute(sql.PACK_ONE, (ident,)).fetchone()
        if ident <= self._doubted:
            self._proven(ident, bytes(raw))
        return bytes(raw)

    def _proven(self, ident: int, raw: bytes) -> Sealed:
        """What stands there; raises Damaged where it was written before this start and its signature is wrong."""
        if ident > self._doubted:
            return peek_sealed(raw)
        try:
            sealed = peek_sealed(raw)
            if self._prove(sealed):
                return sealed
        except Invalid:
            pass
        raise Damaged(f"the pack {ident} in {self._database.path} is damaged")

    def has(self, ident: int) -> bool:
        """Whether this pack is still kept."""
        return self._database.execute(sql.PACK_ONE, (ident,)).fetchone() is not None

    def keeps(self, row: StreamRow) -> bool:
        """Whether anything of a stream in order is still kept; looked for only where it was moved over a gap."""
        if row.floor >= row.held or row.hash is not None:
            return row.floor < row.held
        return self._database.execute(sql.PACK_OF, (row.id,)).fetchone() is not None

    def at(self, stream: int, seq: int, within: int) -> bytes | None:
        """The bytes of the pack with this number of a stream, if it is among the newest `within`: there is no index."""
        values = (stream, seq, seq, self.last_id - within)
        row = self._database.execute(sql.PACK_AT, values).fetchone()
        return None if row is None else bytes(row[0])

    def reseal(self, ident: int, size: int, stream: int, first: int, count: int, sealed: bytes) -> None:
        """Give one pack of `size` bytes another place and other bytes; inside a transaction. Its id stays."""
        self._forget(ident)
        self._database.execute(sql.PACK_RESEAL, (stream, first, count, sealed, ident))
        self._tally(count, sealed, 1)
        self.bytes += len(sealed) - size

    def delete(self, ident: int, size: int) -> None:
        """Let one pack of `size` bytes go; inside a transaction."""
        self._forget(ident)
        self._database.execute(sql.PACK_DELETE, (ident,))
        self.bytes -= size
        self.count -= 1

    def read(self, after: int, limit: int = 64) -> list[Entry]:
        """Packs after the one with id `after`, in order of arrival."""
        rows = self._database.execute(sql.PACK_AFTER, (after, limit))
        return [
            Entry(ident, self._proven(ident, bytes(raw)), first, first + count - 1, at, age, bool(late))
            for ident, _, first, count, at, age, late, raw in rows
        ]


def _reason(tombstone: bytes) -> Reason | None:
    """Why its numbers are gone; None where it is damaged, which whoever needs it finds out."""
    try:
        return peek_tombstone(tombstone).reason
    except Invalid:
        return None
