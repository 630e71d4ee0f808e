"""All SQL of the store, and its numbered migrations.

DO add a migration for every change of the schema, and keep the old database as a fixture of the tests. DO say in
`UNDOINGS` how it is taken back without losing a message: an older program runs that when an upgrade is rolled back.
A row of `pack` or `ahead` holds a pack or a tombstone: `sealed` begins with 82 or with 84 (klp/sealed.py). `first` and
`count` are what the row stands for, which may be less than the whole run of a received tombstone.
DO NOT index `pack`: measured, three B-trees and a commit for every change made 39 kB of writes for one small message;
one table without an index makes 3.7 kB (`benchmarks/store_writes.py`). What needs a position keeps it in memory.
"""

from __future__ import annotations

from collections.abc import Mapping

PAGE_SIZE = 1024  # bytes; a lone 300-byte message then costs 3.7 kB of writes (benchmarks/store_writes.py)

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE stream (
        id INTEGER PRIMARY KEY,
        source BLOB NOT NULL,
        audience TEXT NOT NULL,
        class INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        held INTEGER NOT NULL DEFAULT 0,     -- highest sequence number held without a gap
        hash BLOB,                           -- chain hash of the pack that ends there
        settled INTEGER NOT NULL DEFAULT 0,  -- own streams: up to here a final receipt has come
        floor INTEGER NOT NULL DEFAULT 0,    -- up to here the data has left the journal
        floor_hash BLOB,                     -- chain hash of the last pack that left, so that gap proofs outlive it
        closed INTEGER NOT NULL DEFAULT 0,   -- received streams: the source has no more of it
        uptime INTEGER NOT NULL DEFAULT 0,   -- own streams: accumulated uptime at the last commit, ms
        UNIQUE (source, audience, class, epoch)
    );
    CREATE TABLE pack (
        id INTEGER PRIMARY KEY,   -- order of arrival, which is the order of delivery
        stream INTEGER NOT NULL,
        first INTEGER NOT NULL,
        count INTEGER NOT NULL,
        at INTEGER NOT NULL,      -- steady time when it was committed here, ms; 0: the clock was not set
        age INTEGER,              -- ms since it was sealed, as known on arrival; NULL: unknown
        ttl INTEGER,              -- shortest ttl of its messages, s; NULL: none
        sealed BLOB NOT NULL
    );
    CREATE TABLE ahead (
        stream INTEGER NOT NULL,
        first INTEGER NOT NULL,
        count INTEGER NOT NULL,
        age INTEGER,
        sealed BLOB NOT NULL,
        PRIMARY KEY (stream, first)
    ) WITHOUT ROWID;
    CREATE TABLE dead (
        id TEXT PRIMARY KEY,      -- message id
        at INTEGER NOT NULL,
        reason INTEGER NOT NULL,
        topic TEXT NOT NULL,
        message BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE cursor (name TEXT PRIMARY KEY, pack INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE outcome (id TEXT PRIMARY KEY, at INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE record (
        kind TEXT NOT NULL,       -- member, revocation, invitation, allowed
        key BLOB NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (kind, key)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE stream ADD COLUMN ranges BLOB;  -- fresh-first: the runs that are held (own streams: settled), CBOR
    ALTER TABLE pack ADD COLUMN late INTEGER;   -- 1: something newer of its lane had come before
    DELETE FROM ahead WHERE stream IN (SELECT id FROM stream WHERE class & 8);  -- never receipted, comes again
    """,
    """
    CREATE TABLE attempt (
        name TEXT NOT NULL,       -- of the reader
        id TEXT NOT NULL,         -- of the message
        pack INTEGER NOT NULL,    -- the entry that it is in: gone when the reader's cursor has passed it
        count INTEGER NOT NULL,
        PRIMARY KEY (name, id)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE latest (           -- the newest value of a topic of which only that one matters; not numbered yet
        audience TEXT NOT NULL,
        class INTEGER NOT NULL,
        topic TEXT NOT NULL,
        uptime INTEGER NOT NULL,    -- accumulated uptime when it was accepted, ms
        at INTEGER,                 -- wall clock then, ms; NULL: not known
        uncertainty INTEGER,        -- how far off that may be, ms
        message BLOB NOT NULL,
        PRIMARY KEY (audience, class, topic)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE latest ADD COLUMN steady INTEGER;  -- steady time when it was accepted, ms; NULL: not known
    """,
    """
    ALTER TABLE dead ADD COLUMN stamped INTEGER;  -- wall clock when it was said, ms; NULL: not known
    ALTER TABLE dead ADD COLUMN number INTEGER NOT NULL DEFAULT 0;  -- in the order in which they died
    UPDATE dead SET number = place.number
        FROM (SELECT id, row_number() OVER (ORDER BY at, id) AS number FROM dead) AS place WHERE place.id = dead.id;
    UPDATE dead SET stamped = at, at = 0 WHERE reason = 7 AND at > 0;  -- of those that broke their handler it was that
    CREATE INDEX dead_number ON dead (number);
    """,
)

REVERSIBLE_FROM = 6
"""The first migration that has to bring its undoing."""
UNDOINGS: Mapping[int, str] = {
    6: """
    UPDATE dead SET at = coalesce(stamped, 0) WHERE reason = 7;
    DROP INDEX dead_number;
    ALTER TABLE dead DROP COLUMN number;
    ALTER TABLE dead DROP COLUMN stamped;
    """,
}
"""By the number of the migration: what brings the schema back to that of the one before."""
UNDO_TABLE = "CREATE TABLE IF NOT EXISTS undoing (schema INTEGER PRIMARY KEY, statements TEXT NOT NULL)"
UNDO_THERE = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'undoing'"
UNDO_PUT = "INSERT OR REPLACE INTO undoing (schema, statements) VALUES (?, ?)"
UNDO_ALL = "SELECT schema, statements FROM undoing WHERE schema > ? AND length(statements) <= ?"
UNDO_FORGET = "DELETE FROM undoing WHERE schema > ?"

META_GET = "SELECT value FROM meta WHERE key = ?"
META_ALL = "SELECT key, value FROM meta"
MEMBERS_KIND = "member"  # of records: they prove packs, so that a copy of them is kept as of `meta`
META_PUT = (
    "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
META_DELETE = "DELETE FROM meta WHERE key = ?"

STREAMS = (
    "SELECT id, source, audience, class, epoch, held, hash, settled, floor, floor_hash, closed, uptime,"
    " ranges FROM stream ORDER BY epoch"
)
STREAM_ADD = "INSERT INTO stream (source, audience, class, epoch) VALUES (?, ?, ?, ?)"
STREAM_DELETE = "DELETE FROM stream WHERE id = ?"
STREAM_POSITION = (
    "UPDATE stream SET held = ?, hash = ?, settled = ?, floor = ?, floor_hash = ?, closed = ?, uptime = ?,"
    " ranges = ? WHERE id = ?"
)

PACK_PUT = "INSERT INTO pack (id, stream, first, count, at, age, ttl, late, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
PACK_AFTER = (
    "SELECT id, stream, first, count, at, age, late, sealed FROM pack WHERE id > ? ORDER BY id LIMIT ?"
)
PACK_SIZES = (
    "SELECT id, stream, first, count, length(sealed), at, ttl, substr(sealed, 1, 1) = x'84'"
    " FROM pack ORDER BY id"
)
PACK_OLDEST = "SELECT id, stream, first, count, at, length(sealed) FROM pack WHERE id > ? ORDER BY id LIMIT ?"
PACK_MESSAGES = "SELECT coalesce(sum(count), 0) FROM pack WHERE substr(sealed, 1, 1) <> x'84'"
PACK_FIRST = "SELECT at FROM pack ORDER BY id LIMIT 1"
PACK_NEWEST = "SELECT max(at) FROM pack"
PACK_ONE = "SELECT sealed FROM pack WHERE id = ?"
PACK_AT = (
    "SELECT sealed FROM pack WHERE stream = ? AND first <= ? AND first + count > ? AND id > ?"
    " ORDER BY id DESC LIMIT 1"
)
PACK_OF = "SELECT 1 FROM pack WHERE stream = ? LIMIT 1"
PACK_REPLACE = "UPDATE pack SET first = ?, count = ?, ttl = NULL, sealed = ? WHERE id = ?"
PACK_TOMBSTONES = "SELECT count, sealed FROM pack WHERE substr(sealed, 1, 1) = x'84'"
PACK_KIND = "SELECT count, CASE WHEN substr(sealed, 1, 1) = x'84' THEN sealed END FROM pack WHERE id = ?"
PACK_DELETE = "DELETE FROM pack WHERE id = ?"
PACK_RESEAL = "UPDATE pack SET stream = ?, first = ?, count = ?, sealed = ? WHERE id = ?"
PACK_TOTALS = (
    "SELECT coalesce(sum(length(sealed)), 0), count(*),"
    " max(coalesce(max(id), 0), coalesce((SELECT max(pack) FROM cursor), 0)) FROM pack"
)

AHEAD_ADD = "INSERT OR IGNORE INTO ahead (stream, first, count, age, sealed) VALUES (?, ?, ?, ?, ?)"
AHEAD_ALL = "SELECT stream, first, count, length(sealed), substr(sealed, 1, 1) = x'84' FROM ahead"
AHEAD_GET = "SELECT sealed, age FROM ahead WHERE stream = ? AND first = ?"
AHEAD_AT = "SELECT sealed FROM ahead WHERE stream = ? AND first <= ? AND first + count > ?"
AHEAD_DELETE = "DELETE FROM ahead WHERE stream = ? AND first = ?"

DEAD_ADD = "INSERT OR REPLACE INTO dead (id, at, reason, topic, message, stamped, number) VALUES (?, ?, ?, ?, ?, ?, ?)"
DEAD_AFTER = "SELECT id, at, reason, topic, message, stamped, number FROM dead WHERE number > ? ORDER BY number LIMIT ?"
DEAD_GET = "SELECT id, at, reason, topic, message, stamped, number FROM dead WHERE id = ?"
DEAD_LAST = "SELECT ifnull(max(number), 0) FROM dead"
DEAD_DELETE = "DELETE FROM dead WHERE id = ?"
DEAD_COUNT = "SELECT count(*) FROM dead"
DEAD_TOTALS = "SELECT count(*), ifnull(sum(length(message)), 0) FROM dead WHERE reason != ?"
DEAD_OLDEST = "SELECT id, length(message) FROM dead WHERE reason != ? ORDER BY number LIMIT 256"

LATEST_ALL = "SELECT audience, class, topic, uptime, at, uncertainty, message, steady FROM latest"
LATEST_PUT = (
    "INSERT OR REPLACE INTO latest (audience, class, topic, uptime, at, uncertainty, message, steady)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
LATEST_DELETE = "DELETE FROM latest WHERE audience = ? AND class = ? AND topic = ?"

CURSOR_GET = "SELECT pack FROM cursor WHERE name = ?"
CURSOR_PUT = (
    "INSERT INTO cursor (name, pack) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET pack = excluded.pack"
)
CURSOR_NAMES = "SELECT name FROM cursor ORDER BY name"
CURSOR_DELETE = "DELETE FROM cursor WHERE name = ?"
ATTEMPTS = "SELECT id, count FROM attempt WHERE name = ?"
ATTEMPT_PUT = "INSERT OR REPLACE INTO attempt (name, id, pack, count) VALUES (?, ?, ?, ?)"
ATTEMPTS_PASSED = "DELETE FROM attempt WHERE name = ? AND pack <= ?"
ATTEMPTS_FORGET = "DELETE FROM attempt WHERE name = ?"
CURSOR_LEAST = "SELECT min(pack) FROM cursor"

OUTCOME_GET = "SELECT value FROM outcome WHERE id = ?"
OUTCOME_PUT = "INSERT OR REPLACE INTO outcome (id, at, value) VALUES (?, ?, ?)"
OUTCOME_COUNT = "SELECT count(*) FROM outcome"
OUTCOME_TRIM = "DELETE FROM outcome WHERE id IN (SELECT id FROM outcome ORDER BY at LIMIT ?)"
OUTCOME_PRUNE = "DELETE FROM outcome WHERE at < ?"

RECORDS = "SELECT key, value FROM record WHERE kind = ? ORDER BY key"
RECORD_PUT = (
    "INSERT INTO record (kind, key, value) VALUES (?, ?, ?)"
    " ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value"
)
RECORD_DELETE = "DELETE FROM record WHERE kind = ? AND key = ?"
RECORDS_CLEAR = "DELETE FROM record WHERE kind = ?"
