"""The manifest of an installation: whatever somebody may have written over it."""

from __future__ import annotations

from contextlib import suppress

from kos_edge.bootstrap.manifest import Entry, Kind, link_entry, read, seal
from kos_edge.errors import Refused
from kos_edge.klp.identity import KeyPair

_KEY = KeyPair.from_seed(bytes(range(32)))
_FILES = (Entry("bin/kos-edge", Kind.EXECUTABLE, 2, bytes(32)), link_entry("lib64", b"lib"))

SEEDS = (seal(_FILES, "1.2.3", _KEY, at=1_800_000_000), seal(_FILES[:1], "1", _KEY, at=0))


def fuzz_manifest(data: bytes) -> None:
    """What is read is what an anchor signed: the same files, whatever stands around the signature."""
    with suppress(Refused):
        manifest = read(data, {_KEY.public: "us"})
        assert seal(manifest.files.values(), manifest.version, _KEY, at=manifest.at) in SEEDS
