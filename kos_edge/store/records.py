"""Small records: memberships, revocations, invitations, known keys, cursors, dead letters, outcomes."""

from __future__ import annotations

from dataclasses import dataclass

from kos_edge.delivery.limits import Amount, Limit
from kos_edge.delivery.wire import Reason
from kos_edge.store import sql
from kos_edge.store.database import Database

_DEAD_DROPPED = ("count", b"dead letters that had to go")


@dataclass(frozen=True, slots=True)
class Dead:
    """A message that was refused: `message` is its encoded form, `reason` of `delivery.wire.Reason`.

    `at` is when it died, wall ms (0: not known); `stamped` when it was said, wall ms (None: not known). The offset in
    `message` counts from nothing that is kept. `number` rises in the order in which they died.
    """

    id: str
    at: int
    reason: int
    topic: str
    message: bytes
    stamped: int | None = None
    number: int = 0


class Records:
    """Everything small. Writing verbs run inside a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last_dead: int | None = None
        self.dead_limit = Limit()
        """How many dead letters are kept, and how many bytes of messages in them."""

    def all(self, kind: str) -> dict[bytes, bytes]:
        """Every record of `kind` by key."""
        return {bytes(key): bytes(value) for key, value in self._database.execute(sql.RECORDS, (kind,))}

    def put(self, kind: str, key: bytes, value: bytes) -> None:
        """Set one record."""
        self._database.execute(sql.RECORD_PUT, (kind, key, value))
        self._database.record_changed(kind)

    def delete(self, kind: str, key: bytes) -> None:
        """Forget one record."""
        self._database.execute(sql.RECORD_DELETE, (kind, key))
        self._database.record_changed(kind)

    def clear(self, kind: str) -> None:
        """Forget every record of `kind`."""
        self._database.execute(sql.RECORDS_CLEAR, (kind,))
        self._database.record_changed(kind)

    def cursor(self, name: str) -> int | None:
        """How far the reader `name` has come, as the id of a journal entry; None for a new one."""
        row = self._database.execute(sql.CURSOR_GET, (name,)).fetchone()
        return None if row is None else int(row[0])

    def move_cursor(self, name: str, pack: int) -> None:
        """The reader `name` is done with everything up to the entry `pack`."""
        self._database.execute(sql.CURSOR_PUT, (name, pack))
        self._database.execute(sql.ATTEMPTS_PASSED, (name, pack))

    def attempts(self, name: str) -> dict[str, int]:
        """How often the reader `name` has tried messages that it is not done with, by their ids."""
        return dict(self._database.execute(sql.ATTEMPTS, (name,)))

    def attempted(self, name: str, ident: str, pack: int, count: int) -> None:
        """The reader `name` has tried the message so often, which is in the entry `pack`."""
        self._database.execute(sql.ATTEMPT_PUT, (name, ident, pack, count))

    def cursors(self) -> list[str]:
        """The names of all readers that have a cursor."""
        return [name for (name,) in self._database.execute(sql.CURSOR_NAMES)]

    def forget_cursor(self, name: str) -> None:
        """The reader `name` is gone for good."""
        self._database.execute(sql.CURSOR_DELETE, (name,))
        self._database.execute(sql.ATTEMPTS_FORGET, (name,))

    def bury(self, letter: Dead) -> None:
        """Keep a dead letter, as the last of them."""
        if self._last_dead is None:
            self._last_dead = self.last_dead()
        self._last_dead += 1
        values = (letter.id, letter.at, letter.reason, letter.topic, letter.message, letter.stamped)
        self._database.execute(sql.DEAD_ADD, (*values, self._last_dead))

    def dead(self, after: int = 0, most: int = -1) -> list[Dead]:
        """The dead letters after this number, at most so many of them (-1: all), in the order in which they died."""
        return [_letter(row) for row in self._database.execute(sql.DEAD_AFTER, (after, most))]

    def letter(self, ident: str) -> Dead | None:
        """The dead letter with this id."""
        row = self._database.execute(sql.DEAD_GET, (ident,)).fetchone()
        return None if row is None else _letter(row)

    def last_dead(self) -> int:
        """The number of the letter that died last, of those that are kept."""
        return int(self._database.execute(sql.DEAD_LAST).fetchone()[0])

    def dead_count(self) -> int:
        """How many dead letters there are."""
        return int(self._database.execute(sql.DEAD_COUNT).fetchone()[0])

    def trim_dead(self) -> int:
        """Let the oldest dead letters go that are too many; how many went, which are counted for good.

        Not what `leave` has set aside (Reason.DROPPED): that was the queue, and is bounded as it was.
        """
        kept = Amount(*self._database.execute(sql.DEAD_TOTALS, (Reason.DROPPED,)).fetchone())
        gone = 0
        while not self.dead_limit.holds(kept):
            for ident, size in self._database.execute(sql.DEAD_OLDEST, (Reason.DROPPED,)).fetchall():
                self._database.execute(sql.DEAD_DELETE, (ident,))
                kept += Amount(-1, -size)
                gone += 1
                if self.dead_limit.holds(kept):
                    break
        if gone:
            self.put(*_DEAD_DROPPED, (self.dead_dropped() + gone).to_bytes(8, "big"))
        return gone

    def dead_dropped(self) -> int:
        """How many dead letters have gone for newer ones since this store was made."""
        kind, key = _DEAD_DROPPED
        return int.from_bytes(self.all(kind).get(key, b""), "big")

    def exhume(self, ident: str) -> None:
        """Take a dead letter out."""
        self._database.execute(sql.DEAD_DELETE, (ident,))

    def remember(self, ident: str, value: bytes, at_ms: int) -> None:
        """Keep the outcome of a command."""
        self._database.execute(sql.OUTCOME_PUT, (ident, at_ms, value))

    def recall(self, ident: str) -> bytes | None:
        """The outcome of a command that ran before; None when it did not."""
        row = self._database.execute(sql.OUTCOME_GET, (ident,)).fetchone()
        return None if row is None else bytes(row[0])

    def forget_outcomes(self, before_ms: int) -> None:
        """Drop outcomes older than `before_ms`."""
        self._database.execute(sql.OUTCOME_PRUNE, (before_ms,))

    def trim_outcomes(self, most: int) -> int:
        """Drop the oldest outcomes beyond `most`; how many went."""
        count = int(self._database.execute(sql.OUTCOME_COUNT).fetchone()[0])
        if count > most:
            self._database.execute(sql.OUTCOME_TRIM, (count - most,))
        return max(0, count - most)


def _letter(row: tuple[str, int, int, str, bytes, int | None, int]) -> Dead:
    ident, at, reason, topic, message, stamped, number = row
    return Dead(ident, at, reason, topic, bytes(message), stamped, number)
