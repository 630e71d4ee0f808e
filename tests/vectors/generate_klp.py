"""`python -m tests.vectors.generate_klp`: writes `tests/vectors/klp/*.json`, the same bytes at every run.

One file a case. Valid packs are made by `kos_edge.klp`; wrong ones are put together here from their parts,
and most of them are signed properly, so that nothing but the one rule that they break can give them away.

`valid` is what `kos-edge klp verify` has to find. `signature_valid` is what any COSE library finds: whether
the signature of the COSE_Sign1 verifies with `public` over the external_aad that slots or path lead to. It is
null where there is no such thing to verify, or where libraries may differ.
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

from kos_edge.klp import cbor, merkle
from kos_edge.klp.check import check_vector
from kos_edge.klp.pack import peek
from kos_edge.klp.tombstone import peek_tombstone
from tests.vectors.klp_bad import bad_cases
from tests.vectors.klp_cbor import cbor_items
from tests.vectors.klp_forge import Case
from tests.vectors.klp_good import good_cases
from tests.vectors.klp_graves import bad_graves, good_graves

FOLDER = Path(__file__).resolve().parent / "klp"
DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "protocol" / "klp.md"


def cases() -> list[Case]:
    """All of them."""
    return good_cases() + good_graves() + bad_cases() + bad_graves() + cbor_items()


def vector(case: Case) -> dict[str, Any]:
    """A case as it is written; valid packs with everything that leads to them."""
    written: dict[str, Any] = {
        "name": case.name,
        "about": case.about,
        "kind": case.kind,
        "valid": case.valid,
        "hex": case.data.hex(),
    }
    if case.kind != "cbor":
        written |= {
            "signature_valid": case.signature_valid,
            "public": case.public.hex(),
            "mesh": case.mesh.hex(),
        }
    if case.cddl:
        written |= {"cddl": case.cddl, "cddl_valid": case.cddl_valid}
    written |= case.more
    verdict = check_vector(written)
    if verdict.valid != case.valid:
        raise ValueError(f"{case.name}: {verdict.why or 'it is valid'}")
    if not case.valid:
        return written | {"why": verdict.why}
    if case.kind == "pack":
        written |= _worked(case)
    if case.kind == "tombstone":
        written |= _worked_tombstone(case)
    return written | {"decoded": verdict.decoded}


def main() -> None:
    """Write all files, remove those of cases that are no more, and bring the bytes into the document."""
    FOLDER.mkdir(exist_ok=True)
    written = {f"{case.name}.json": vector(case) for case in cases()}
    for path in FOLDER.glob("*.json"):
        if path.name not in written:
            path.unlink()
    for name, value in written.items():
        (FOLDER / name).write_text(text_of(value))
    DOCUMENT.write_text(document_of(DOCUMENT.read_text()))


def text_of(value: dict[str, Any]) -> str:
    """A vector as the text of its file."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def document_of(text: str) -> str:
    """The protocol document with the bytes of the vectors in its blocks.

    A block stands below a line `<!-- NAME PART -->`: hexadecimal digits of that part of that vector.
    """

    def filled(match: re.Match[str]) -> str:
        digits = json.loads((FOLDER / f"{match[1]}.json").read_text())[match[2]]
        lines = textwrap.wrap(digits, 64)
        return "\n".join([match[0].partition("\n")[0], "```text", *lines, "```"])

    return re.sub(r"<!-- ([\w-]+) (\w+) -->\n```text\n[^`]*```", filled, text)


def _worked(case: Case) -> dict[str, Any]:
    """What is computed on the way from a valid pack to its verified signature."""
    pack = peek(case.data)
    root = merkle.root(pack.leaves)
    external_aad = case.mesh + pack.count.to_bytes(2, "big") + root
    to_be_signed = cbor.encode(["Signature1", pack.cose.protected, external_aad, pack.cose.payload])
    malformed = case.more.get("malformed", {}).keys() - set(case.more.get("beyond_cddl", ()))
    return {
        "payload": pack.cose.payload.hex(),
        "leaves": [leaf.hex() for leaf in pack.leaves],
        "root": root.hex(),
        "external_aad": external_aad.hex(),
        "to_be_signed": to_be_signed.hex(),
        "chain_hash": pack.chain_hash.hex(),
        "contains": [
            {"rule": "message", "hex": slot.hex(), "valid": str(seq) not in malformed}
            for seq, slot in enumerate(pack.slots, pack.first)
            if isinstance(slot, bytes)
        ],
    }


def _worked_tombstone(case: Case) -> dict[str, Any]:
    """The same for a tombstone; its external_aad is the mesh alone."""
    tombstone = peek_tombstone(case.data)
    signed = tombstone.cose
    return {
        "payload": signed.payload.hex(),
        "external_aad": case.mesh.hex(),
        "to_be_signed": cbor.encode(["Signature1", signed.protected, case.mesh, signed.payload]).hex(),
        "chain_hash": tombstone.chain_hash.hex(),
    }


if __name__ == "__main__":
    main()
