"""`python -m tests.vectors.generate_admin`: writes `tests/vectors/admin/admin.json`, the same at every run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kos_edge.control.remote import MAX_ANSWER, MAX_ASK, Ask, Part, encode_ask, encode_part
from kos_edge.klp import cbor

FILE = Path(__file__).resolve().parent / "admin" / "admin.json"

ID = bytes(range(8))
LINE = b'{"verb":"revoke","params":{"who":"shed","reason":"sold"}}'
RESULT = b'{"result":{"kid":"kid:device:00112233445566778899aabbccddeeff","name":"shed","number":1}}'

BAD_ASKS: dict[str, tuple[str, Any]] = {
    "ask-short-id": ("The id has seven bytes.", [ID[:7], 0, LINE]),
    "ask-text-id": ("The id is a text.", ["01234567", 0, LINE]),
    "ask-from-before": ("It begins before the answer.", [ID, -1, b""]),
    "ask-from-beyond": ("It begins beyond the longest answer.", [ID, MAX_ANSWER + 1, b""]),
    "ask-flag": ("Where it begins is a boolean.", [ID, True, LINE]),
    "ask-text-line": ("The line is a text.", [ID, 0, LINE.decode()]),
    "ask-more": ("A fourth item.", [ID, 0, LINE, 0]),
    "ask-long": ("It is longer than any request.", [ID, 0, bytes(MAX_ASK + 1)]),
}
BAD_ANSWERS: dict[str, tuple[str, bool, Any]] = {
    "answer-text": ("The part is a text.", False, [2, 0, "{}"]),
    "answer-less": ("Without its part.", False, [2, 0]),
    "answer-too-long": ("It is longer than any answer.", False, [MAX_ANSWER + 1, 0, b"{}"]),
    "answer-beyond": ("The part goes beyond the whole.", True, [4, 3, b"{}"]),
    "answer-nothing": ("A part of nothing, of an answer that is not empty.", True, [4, 2, b""]),
}


def vectors() -> list[dict[str, Any]]:
    """All of them."""
    middle = len(RESULT) // 2
    found = [
        _vector("ask", "The first request.", "ask", encode_ask(Ask(ID, 0, LINE))),
        _vector("ask-rest", "The rest of its answer.", "ask", encode_ask(Ask(ID, middle, b""))),
        _vector("answer", "The whole answer.", "answer", encode_part(Part(len(RESULT), 0, RESULT))),
        _vector("answer-first", "Half of it.", "answer", encode_part(Part(len(RESULT), 0, RESULT[:middle]))),
        _vector(
            "answer-rest", "And the rest.", "answer", encode_part(Part(len(RESULT), middle, RESULT[middle:]))
        ),
        _vector("answer-empty", "An answer of no bytes.", "answer", encode_part(Part(0, 0, b""))),
    ]
    found += [
        _vector(name, about, "ask", cbor.encode(wire), valid=False)
        for name, (about, wire) in BAD_ASKS.items()
    ]
    found += [
        {**_vector(name, about, "answer", cbor.encode(wire), valid=False), "cddl_valid": cddl_valid}
        for name, (about, cddl_valid, wire) in BAD_ANSWERS.items()
    ]
    return found


def _vector(name: str, about: str, rule: str, data: bytes, *, valid: bool = True) -> dict[str, Any]:
    return {"name": name, "about": about, "cddl": rule, "hex": data.hex(), "valid": valid}


def main() -> None:
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
