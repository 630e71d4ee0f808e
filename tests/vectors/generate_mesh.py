"""`python -m tests.vectors.generate_mesh`: writes `tests/vectors/mesh/*.json`, the same bytes at every run.

Good cases are made by `kos_edge.mesh`. Wrong ones are put together from their parts, most of them signed
properly, so that nothing but the one rule that they break can give them away. `why` is what our verifier
says, for people; other verifiers need only find `valid`, or `refused`. The worked examples at the end of
`docs/protocol/membership.md` are written from the vectors too.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.vectors.mesh_forks import forks
from tests.vectors.mesh_joining import enrolments, keys, tokens
from tests.vectors.mesh_judge import Vector
from tests.vectors.mesh_trust import memberships, policies, revocations

FOLDER = Path(__file__).resolve().parent / "mesh"
DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "protocol" / "membership.md"
MARK = "<!-- worked examples: generated -->\n"
WIDTH = 96

SHOWN = (
    ("keys.json", "mesh", ("authority", "mesh")),
    ("keys.json", "authority", ("seed", "kid")),
    ("keys.json", "hub", ("seed", "public", "kid", "words")),
    ("keys.json", "pump", ("seed", "public", "kid", "words")),
    ("membership.json", "issuer", ("payload", "to_be_signed", "hex")),
    ("membership.json", "member", ("payload", "to_be_signed", "hex")),
    ("revocation.json", "by-issuer", ("payload", "to_be_signed", "hex")),
    ("policy.json", "starter", ("payload", "hex")),
    ("token.json", "one-address", ("hub", "token_id", "secret", "hex", "text")),
    ("enrolment.json", "redemption", ("secret", "key", "th_3", "id_cred_i", "cred_i", "hex", "mac")),
    ("enrolment.json", "with-a-token", ("hex",)),
    ("enrolment.json", "without-a-token", ("hex",)),
    ("enrolment.json", "waiting", ("hex",)),
)
"""What the document shows: file, vector, fields."""


def files() -> dict[str, list[Vector]]:
    """All vectors, by file name."""
    return {
        "keys.json": keys(),
        "membership.json": memberships(),
        "revocation.json": revocations(),
        "policy.json": policies(),
        "fork.json": forks(),
        "token.json": tokens(),
        "enrolment.json": enrolments(),
    }


def document(text: str) -> str:
    """The document with its worked examples as the vectors are now."""
    made = files()
    return text[: text.index(MARK) + len(MARK)] + "".join(
        _example(file, next(it for it in made[file] if it["name"] == name), fields)
        for file, name, fields in SHOWN
    )


def main() -> None:
    """Write all files and the document's examples."""
    FOLDER.mkdir(exist_ok=True)
    for name, vectors in files().items():
        (FOLDER / name).write_text(text_of(vectors))
    DOCUMENT.write_text(document(DOCUMENT.read_text()))


def text_of(vectors: list[Vector]) -> str:
    """A file of vectors as its text."""
    return json.dumps(vectors, indent=2, ensure_ascii=False) + "\n"


def _example(file: str, vector: Vector, fields: tuple[str, ...]) -> str:
    lines = [_value(field, str(vector[field])) for field in fields]
    return f"\n### `{vector['name']}` in `{file}`\n\n```\n" + "".join(lines) + "```\n"


def _value(field: str, value: str) -> str:
    if len(field) + len(value) <= WIDTH:
        return f"{field} = {value}\n"
    parts = [value[at : at + WIDTH] for at in range(0, len(value), WIDTH)]
    return f"{field} =\n" + "".join(f"    {part}\n" for part in parts)


if __name__ == "__main__":
    main()
