"""What the vectors of KLP are made with: keys, and packs that are right or have one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from kos_edge.klp import body, cbor, cose, merkle
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Class, Message, Stream, encode_message, seal

KEY = KeyPair.from_seed(sha256(b"kos-edge vectors: a source").digest())
OTHER = KeyPair.from_seed(sha256(b"kos-edge vectors: another source").digest())
MESH = sha256(KeyPair.from_seed(sha256(b"kos-edge vectors: an authority").digest()).public).digest()
OTHER_MESH = sha256(b"kos-edge vectors: another mesh").digest()
EPOCH = 3 << 32 | 0x5EEDF00D
WALL_MS = 1_800_000_000_000
PREV = sha256(b"kos-edge vectors: the pack before").digest()[:16]
STREAM = Stream(KEY.kid, "hub", Class(), EPOCH)

READING = Message("air.temperature", body.reading(21.5, "Cel"))
FIVE = [
    Message("air.temperature", body.reading(21.37, "Cel"), 0),
    Message("air.humidity", body.reading(48, "%RH"), 12),
    Message("air.temperature", body.reading(21.5, "Cel"), 1_000),
    Message("door.front", body.reading(True), 1_417, ttl_s=3_600, category="security"),
    Message("air.temperature", body.reading(21.62, "Cel"), 2_000),
]


@dataclass(frozen=True, slots=True)
class Case:
    """One vector: what it shows, its bytes, and what has to be found."""

    name: str
    about: str
    data: bytes
    valid: bool = True
    kind: str = "pack"
    signature_valid: bool | None = True
    cddl: str | None = "pack"
    cddl_valid: bool = True
    public: bytes = KEY.public
    mesh: bytes = MESH
    more: dict[str, Any] = field(default_factory=dict)


def sealed(messages: list[Message], **changed: Any) -> bytes:
    """A pack as its source makes it."""
    header: dict[str, Any] = {
        "prev": PREV,
        "mono_ms": 86_400_123,
        "wall_ms": WALL_MS,
        "uncertainty_ms": 250,
        "key": KEY,
        "mesh": MESH,
    }
    stream, first = changed.pop("stream", STREAM), changed.pop("first", 1_042)
    return seal(stream, first, messages, **header | changed)


def header_with(**changed: Any) -> list[Any]:
    """The parts of a header, some of them changed."""
    parts: dict[str, Any] = {
        "version": 1,
        "source": KEY.kid,
        "audience": 0,
        "class": 5,
        "epoch": EPOCH,
        "first": 1_042,
        "prev": PREV,
        "mono_ms": 86_400_123,
        "wall_ms": WALL_MS,
        "uncertainty_ms": 250,
        "topics": ["air.temperature"],
    }
    unknown = changed.keys() - parts.keys()
    if unknown:
        raise ValueError(f"a header has no {unknown}")
    return list((parts | changed).values())


def forged(
    header: list[Any] | bytes,
    slots: list[Any] | None = None,
    *,
    protected: bytes = bytes.fromhex("a201271019fde9"),
    unprotected: bytes = b"\xa0",
    key: KeyPair = KEY,
) -> bytes:
    """A pack with a good signature over whatever is given; slots are messages as bytes, or decoded values."""
    slots = [encode_message(READING, 0)] if slots is None else slots
    payload = header if isinstance(header, bytes) else cbor.encode(header)
    leaves = [merkle.leaf(slot) if isinstance(slot, bytes) else slot[0] for slot in slots]
    external_aad = MESH + len(slots).to_bytes(2, "big") + merkle.root(leaves)
    signature = key.sign(cbor.encode(["Signature1", protected, external_aad, payload]))
    signed = cose.assemble(protected, unprotected, payload, signature)
    return b"\x82" + signed + cbor.encode(slots)


def changed(data: bytes, change: Callable[[list[Any]], None]) -> bytes:
    """The bytes of a decoded structure after a change of its parts."""
    value = cbor.decode(data)
    change(value)
    return cbor.encode(value)


def flipped(data: bytes, needle: bytes, offset: int = 0) -> bytes:
    """The bytes with the lowest bit of one of them flipped: `offset` after the beginning of `needle`."""
    at = data.index(needle) + offset
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
