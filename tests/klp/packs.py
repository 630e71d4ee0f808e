"""Packs to test with: a source, a mesh, and what a source would seal."""

from __future__ import annotations

from typing import Any

from kos_edge.klp import body
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Class, Message, Stream, seal

KEY = KeyPair.from_seed(bytes(range(32)))
OTHER = KeyPair.from_seed(bytes(range(1, 33)))
MESH = bytes(range(100, 132))
EPOCH = 7 << 32 | 0xABCDEF
STREAM = Stream(KEY.kid, "hub", Class(), EPOCH)
WALL_MS = 1_800_000_000_000


def reading(value: object = 21.5, topic: str = "air.temperature", **options: Any) -> Message:
    """A message with a reading in degrees."""
    return Message(topic, body.reading(value, "Cel"), **options)


def sealed(*messages: Message, **changed: Any) -> bytes:
    """A pack of a durable stream, in the middle of it."""
    header: dict[str, Any] = {
        "prev": bytes(16),
        "mono_ms": 1_000,
        "wall_ms": WALL_MS,
        "uncertainty_ms": 250,
        "key": KEY,
        "mesh": MESH,
    }
    stream, first = changed.pop("stream", STREAM), changed.pop("first", 10)
    return seal(stream, first, messages or (reading(),), **header | changed)
