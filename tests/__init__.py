"""The tests of kos-edge; the tree mirrors the packages."""
