"""`python -m tests.vectors.check_cddl`: every vector against the CDDL of its area.

The vectors in `tests/vectors/<area>/*.json` are checked against `docs/protocol/<area>.cddl`, by a CDDL tool
that knows nothing of this project. A vector takes part if it has `cddl`, the rule for its `hex`: `cddl_valid`
says what the tool has to find, and where it is missing, `valid` does. `contains` is a list of {"rule", "hex",
"valid"}: what stands inside byte strings, such as the messages of a pack.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cddl_verifier import Validator

ROOT = Path(__file__).resolve().parent.parent.parent
VECTORS = ROOT / "tests" / "vectors"
PROTOCOL = ROOT / "docs" / "protocol"


@dataclass(frozen=True, slots=True)
class Difference:
    """A vector of which the CDDL says another thing than it claims."""

    vector: str
    rule: str
    expected: bool
    why: str

    def __str__(self) -> str:
        return f"{self.vector}: {self.rule} should {'' if self.expected else 'not '}match. {self.why}"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a vector says of some bytes: that they match a rule, or that they do not."""

    vector: str
    rule: str
    data: bytes
    expected: bool


def claims(area: str) -> Iterator[Claim]:
    """Everything that the vectors of an area say about its CDDL."""
    for path in sorted((VECTORS / area).glob("*.json")):
        content = json.loads(path.read_text())
        for vector in content if isinstance(content, list) else [content]:
            if isinstance(vector, dict):
                yield from _claims_of(f"{area}/{path.stem}", vector)


def differences(area: str) -> list[Difference]:
    """Where the vectors of an area and its CDDL do not agree."""
    validator = Validator(PROTOCOL / f"{area}.cddl")
    found = []
    for claim in claims(area):
        result = validator.validate(claim.data, claim.rule, require_deterministic=True)
        if bool(result) != claim.expected:
            why = "; ".join(str(one) for one in result.diagnostics)
            found.append(Difference(claim.vector, claim.rule, claim.expected, why))
    return found


def areas() -> list[str]:
    """The areas that have both CDDL and vectors."""
    return sorted(path.stem for path in PROTOCOL.glob("*.cddl") if (VECTORS / path.stem).is_dir())


def main() -> int:
    """Check all areas, say what was found; the exit code is 1 if anything differs."""
    found = []
    for area in areas():
        different = differences(area)
        found += different
        print(f"{area}: {sum(1 for _ in claims(area))} claims checked, {len(different)} differ")
    for difference in found:
        print(difference)
    return 1 if found else 0


def _claims_of(place: str, vector: dict[str, Any]) -> Iterator[Claim]:
    name = f"{place} {vector.get('name', '')}".strip()
    if "cddl" in vector:
        expected = vector.get("cddl_valid", vector.get("valid", True))
        yield Claim(name, vector["cddl"], bytes.fromhex(vector["hex"]), expected)
    for part in vector.get("contains", ()):
        yield Claim(name, part["rule"], bytes.fromhex(part["hex"]), part["valid"])


if __name__ == "__main__":
    sys.exit(main())
