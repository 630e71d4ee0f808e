"""What a bootstrap reads: the manifest of an installation, the chronicle of starts, a member's registration."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from kos_edge.bootstrap.chronicle import from_bytes, to_bytes
from kos_edge.bootstrap.manifest import Entry, Kind, link_entry, read, seal
from kos_edge.bootstrap.registration import Registration, from_content
from kos_edge.bootstrap.sequence import Chronicle, Mode, Ordered, Wish, begin
from kos_edge.errors import Refused
from kos_edge.klp import cbor
from kos_edge.klp.identity import KeyPair

_KEY = KeyPair.from_seed(bytes(range(32)))
_FILES = (Entry("bin/kos-edge", Kind.EXECUTABLE, 2, bytes(32)), link_entry("lib64", b"lib"))

_MANIFESTS = (seal(_FILES, "1.2.3", _KEY, at=1_800_000_000), seal(_FILES[:1], "1", _KEY, at=0))
_CHRONICLE = begin(
    Chronicle(wish=Wish(Mode.MINIMAL, "hub"), orders=(Ordered("hub", Mode.RECOVERY, 1, b"raw"),)),
    version="1.0",
    settings=bytes(32),
    boot="boot",
    at=1_800_000_000,
)
_REGISTRATION = Registration("1.0", "edge", "default", "aarch64", ("agent:climate",), ("udp 10.0.0.7:5683",))

SEEDS = (*_MANIFESTS, to_bytes(_CHRONICLE), to_bytes(_CHRONICLE)[32:], _REGISTRATION.to_wire())


def fuzz_manifest(data: bytes) -> None:
    """What is read is what an anchor signed: the same files, whatever stands around the signature."""
    with suppress(Refused):
        manifest = read(data, {_KEY.public: "us"})
        assert seal(manifest.files.values(), manifest.version, _KEY, at=manifest.at) in _MANIFESTS


def fuzz_chronicle(data: bytes) -> None:
    """What is read, with a checksum that is right, is what its own bytes are again."""
    whole = hashlib.sha256(data).digest() + data
    assert from_bytes(to_bytes(from_bytes(whole))) == from_bytes(whole)


def fuzz_registration(data: bytes) -> None:
    """What is taken from a member fits what is kept of it, and reads the same again."""
    found = from_content(cbor.decode(data))
    assert len(found.to_wire()) < 32_768
    assert from_content(cbor.decode(found.to_wire())) == found
