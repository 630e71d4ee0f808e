"""Two schemas that are still to come, invented: what a newer kos-edge might make of a database, and how it is undone.

    python -m tests.store.later --state DIR publish air.temperature 1

is `kos-edge` of that newer version.
"""

from __future__ import annotations

from kos_edge.store import sql

SIXTH = """
    ALTER TABLE stream ADD COLUMN colour TEXT;  -- nothing that a test would look at; twice
    CREATE TABLE invented (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    INSERT INTO invented SELECT key, value FROM meta;
    CREATE TRIGGER counted AFTER INSERT ON pack BEGIN
        UPDATE stream SET colour = 'red' WHERE id = NEW.stream;
        UPDATE stream SET colour = 'blue' WHERE id = NEW.stream;
    END;
"""
UNDO_SIXTH = """
    DROP TRIGGER counted;
    DROP TABLE invented;
    ALTER TABLE stream DROP COLUMN colour;
"""
SEVENTH = """
    ALTER TABLE pack RENAME COLUMN age TO years;
    CREATE VIEW seen AS SELECT years FROM pack;
    DROP VIEW seen;
    ALTER TABLE pack RENAME COLUMN years TO age;
    ALTER TABLE dead ADD COLUMN reader TEXT;
    UPDATE dead SET reader = 'nobody; or somebody';
"""
UNDO_SEVENTH = "ALTER TABLE dead DROP COLUMN reader"

NOW = len(sql.MIGRATIONS)
LATER = (*sql.MIGRATIONS, SIXTH, SEVENTH)
UNDOINGS = {**sql.UNDOINGS, NOW + 1: UNDO_SIXTH, NOW + 2: UNDO_SEVENTH}

if __name__ == "__main__":
    sql.MIGRATIONS, sql.UNDOINGS = LATER, UNDOINGS
    from kos_edge.cli import main

    main()
