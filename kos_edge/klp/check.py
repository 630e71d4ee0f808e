"""What `klp verify` says: whether a pack, a tombstone, a message shown alone or a vector is what it claims, or why not.

A vector file is a JSON object, or a list of them, with `name`, `kind`, `hex`, `valid` and what a kind needs:

- `pack`, `shown`, `tombstone`: `public`, the raw key of the source, and `mesh`;
- `cose`: `public`, `typ` and `external_aad`;
- `cbor`: nothing more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.klp import cbor, cose, jsonform, people
from kos_edge.klp.message import Malformed
from kos_edge.klp.pack import peek, unseal
from kos_edge.klp.shown import peek_shown, unseal_shown
from kos_edge.klp.tombstone import is_tombstone, peek_tombstone, unseal_tombstone


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: valid or why not, and what the vector expects (None where nothing was expected).

    `notes` tell of messages in a valid pack that its source signed although they break the grammar; `decoded`
    is the JSON form for people of what was valid.
    """

    name: str
    valid: bool
    why: str = ""
    expected: bool | None = None
    notes: tuple[str, ...] = ()
    decoded: Any = None

    @property
    def agrees(self) -> bool:
        """Whether this is what was expected; what is not valid does not agree where nothing was expected."""
        return self.valid if self.expected is None else self.valid == self.expected


def verify_bytes(data: bytes, public: bytes, mesh: bytes, *, name: str = "") -> Verdict:
    """The verdict on a pack, a tombstone or a message shown alone, given as its bytes."""
    found: list[Any] = []
    try:
        if is_tombstone(data):
            decoded = people.tombstone_to_json(unseal_tombstone(data, public, mesh))
        elif is_shown(data):
            shown = unseal_shown(data, public, mesh)
            found = [shown.message()]
            decoded = people.shown_to_json(shown)
        else:
            pack = unseal(data, public, mesh)
            found = [message for _, message in pack.messages() if isinstance(message, Malformed)]
            decoded = people.pack_to_json(pack)
    except Invalid as error:
        return Verdict(name, False, error.message)
    notes = tuple(f"message {one.seq}: {one.why}" for one in found if isinstance(one, Malformed))
    return Verdict(name, True, notes=notes, decoded=decoded)


def inspect_bytes(data: bytes) -> dict[str, Any]:
    """What is in a pack, a tombstone or a message shown alone, as JSON; no signature is checked."""
    if is_tombstone(data):
        return people.tombstone_to_json(peek_tombstone(data))
    return people.shown_to_json(peek_shown(data)) if is_shown(data) else people.pack_to_json(peek(data))


def is_shown(data: bytes) -> bool:
    """Whether these bytes begin as a message shown alone does: with an array of five."""
    return data[:1] == b"\x85"


def check_vector(vector: Any) -> Verdict:
    """The verdict on one vector; Invalid if the vector itself cannot be read."""
    if not isinstance(vector, dict) or not isinstance(vector.get("name"), str):
        raise Invalid("a vector is an object with a name")
    name, kind, expected = vector["name"], vector.get("kind"), vector.get("valid")
    if expected not in (True, False):
        raise Invalid(f"vector {name}: 'valid' is true or false")
    data = _hex(vector, "hex")
    if kind in ("pack", "shown", "tombstone"):
        verdict = verify_bytes(data, _hex(vector, "public"), _hex(vector, "mesh"), name=name)
    elif kind == "cose":
        verdict = _check_cose(vector, data)
    elif kind == "cbor":
        verdict = _check_cbor(name, data)
    else:
        raise Invalid(f"vector {name}: no kind of vector is called {kind!r}")
    return Verdict(name, verdict.valid, verdict.why, expected, verdict.notes, verdict.decoded)


def check_vector_file(path: Path) -> list[Verdict]:
    """The verdicts on all vectors of a JSON file."""
    try:
        vectors = json.loads(path.read_text())
    except (ValueError, RecursionError):
        raise Invalid(f"{path.name} is not JSON") from None
    return [check_vector(vector) for vector in (vectors if isinstance(vectors, list) else [vectors])]


def read_bytes(content: bytes) -> bytes:
    """The bytes of a file that holds a pack as it is, or in hexadecimal digits."""
    try:
        return bytes.fromhex(content.decode("ascii"))
    except ValueError:
        return content


def _check_cose(vector: dict[str, Any], data: bytes) -> Verdict:
    typ = vector.get("typ")
    if type(typ) is not int:
        raise Invalid(f"vector {vector['name']}: 'typ' is a number")
    public, external_aad = _hex(vector, "public"), _hex(vector, "external_aad")
    try:
        cose.read_sign1(data).verify(public, typ=typ, external_aad=external_aad)
    except Invalid as error:
        return Verdict(vector["name"], False, error.message)
    return Verdict(vector["name"], True)


def _check_cbor(name: str, data: bytes) -> Verdict:
    try:
        return Verdict(name, True, decoded=jsonform.to_json(cbor.decode(data)))
    except Invalid as error:
        return Verdict(name, False, error.message)


def _hex(vector: dict[str, Any], part: str) -> bytes:
    try:
        return bytes.fromhex(vector[part])
    except (KeyError, TypeError, ValueError):
        raise Invalid(f"vector {vector['name']}: {part!r} is hexadecimal digits") from None
