"""Heartbeats: any member may send anything as one."""

from __future__ import annotations

import json
from pathlib import Path

from kos_edge.klp import cbor
from kos_edge.klp.body import Data
from kos_edge.monitor import beat as beats
from kos_edge.monitor.fleet import Fleet

_VECTORS = Path(__file__).parents[1] / "vectors" / "health" / "beats.json"
SEEDS = [bytes.fromhex(vector["hex"]) for vector in json.loads(_VECTORS.read_text())]


def fuzz_beat(data: bytes) -> None:
    """A beat that is taken goes out as it came in, as far as it is known, and a fleet can tell how it is."""
    beat = beats.read(Data(cbor.decode(data), beats.SCHEMA))
    assert beats.read(beat.payload()) == beat
    fleet = Fleet(0.0)
    fleet.hear(bytes(16), beat, 1.0)
    fleet.standing(bytes(16), 1e9)
