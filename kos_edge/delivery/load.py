"""A load: one pack on its way to a peer, as the courier carries it."""

from __future__ import annotations

from dataclasses import dataclass

from kos_edge.klp.pack import Class, Stream

LaneKey = tuple[str, Class]
"""Audience and class: what shares one queue, whatever the epoch."""


@dataclass(frozen=True, slots=True)
class Load:
    """One pack of `stream` with numbers `first` to `last`.

    `age_ms` is its age at monotonic second `loaded_at`, None when nobody knows.
    """

    stream: Stream
    first: int
    last: int
    pack: bytes
    age_ms: int | None = None
    loaded_at: float = 0.0


def lane_of(stream: Stream) -> LaneKey:
    """The lane that a stream of ours belongs to."""
    return (stream.audience, stream.cls)
