"""The store: one SQLite file a node, one writer thread, all SQL in one place."""
