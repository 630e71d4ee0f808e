"""Diagnoses: whoever asks for one gets a file from a stranger."""

from __future__ import annotations

import gzip

from kos_edge.doctor import bundle
from kos_edge.klp.identity import KeyPair

_FILES = {"status.json": b'{"health":"good"}', "log.txt": b"started\n"}
_KEY = KeyPair.from_seed(bytes(32))
_SIGNED = bundle.pack(_FILES, _KEY, 1_800_000_000)
_INSIDE = gzip.decompress(_SIGNED)

SEEDS = (_SIGNED, _INSIDE, gzip.decompress(bundle.pack(_FILES, None, None)))


def fuzz_bundle(data: bytes) -> None:
    """What is said to be signed is what was."""
    _same(bundle.verify(data))


def fuzz_inside_of_a_bundle(data: bytes) -> None:
    """The same where the damage is below the checksum of the compression."""
    _same(bundle.verify(gzip.compress(data, compresslevel=0, mtime=0)))


def _same(found: bundle.Verified) -> None:
    assert found.public == _KEY.public.hex()
    assert sorted(found.files) == sorted(_FILES)
