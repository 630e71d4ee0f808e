"""`python -m tests.vectors.generate_health`: writes `tests/vectors/health/beats.json`, the same at every run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kos_edge.klp import cbor
from kos_edge.monitor.beat import Beat

FILE = Path(__file__).resolve().parent / "health" / "beats.json"

FULL = Beat(
    version="0.1.0",
    every_s=60,
    uptime_s=86_400,
    cpu=0.071,
    memory=0.38,
    disk=0.125,
    temperature_c=-3.5,
    queue_messages=1_200,
    queue_bytes=60_000,
    queue=0.0012,
    errors=2,
    warnings=1,
    warning="this machine's clock is not set; messages carry no time until it is",
    resident_bytes=50_000_000,
)

BAD: dict[str, tuple[str, dict[int, Any]]] = {
    "interval-zero": ("The next one is due at once.", {2: 0}),
    "interval-too-long": ("The next one is due in more than a day.", {2: 86_401}),
    "interval-flag": ("The interval is a boolean.", {2: True}),
    "uptime-negative": ("It started in the future.", {3: -1}),
    "more-than-all": ("More than all of the processor is in use.", {4: 1_001}),
    "too-hot": ("The processor has more than 200 degrees.", {7: 2_001}),
    "temperature-float": ("The temperature is a float.", {7: 48.5}),
    "version-bytes": ("The version is a byte string.", {1: b"0.1.0"}),
    "unknown-key": ("A key below 32 that nobody knows.", {20: 1}),
}


def vectors() -> list[dict[str, Any]]:
    """All of them."""
    full = dict(FULL.payload().content)
    found = [
        _vector("full", "Everything that there is to say.", full, True),
        _vector("least", "What has to be there.", {1: "", 2: 1, 3: 0}, True),
        _vector("extended", "A key of a later version.", {**full, 32: "later"}, True),
    ]
    found += [_vector(name, about, {**full, **change}, False) for name, (about, change) in BAD.items()]
    for key, name in ((1, "version"), (2, "interval"), (3, "uptime")):
        content = {other: value for other, value in full.items() if other != key}
        found.append(_vector(f"no-{name}", f"Without its {name}.", content, False))
    return found


def _vector(name: str, about: str, content: dict[int, Any], valid: bool) -> dict[str, Any]:
    return {"name": name, "about": about, "cddl": "beat", "hex": cbor.encode(content).hex(), "valid": valid}


def main() -> None:
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
