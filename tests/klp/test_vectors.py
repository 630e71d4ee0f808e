"""Every vector: what we, a COSE library and the CDDL say of it, and that it is still the same."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import cbor2
import pytest
from pycose.keys.curves import Ed25519
from pycose.keys.okp import OKPKey
from pycose.messages.sign1message import Sign1Message

from kos_edge.errors import Invalid
from kos_edge.klp import cbor, cose
from kos_edge.klp.check import check_vector, check_vector_file, read_bytes, verify_bytes
from tests.klp.packs import KEY, MESH
from tests.vectors import check_cddl, generate_klp

PATHS = sorted(generate_klp.FOLDER.glob("*.json"))
CASES = generate_klp.cases()


def vector_of(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text())
    return value


SIGNED = [path for path in PATHS if vector_of(path).get("signature_valid") is not None]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_ours_says_of_a_vector_what_it_says_itself(path: Path) -> None:
    (verdict,) = check_vector_file(path)
    vector = vector_of(path)
    assert verdict.agrees, verdict.why
    assert verdict.name == vector["name"] == path.stem
    assert verdict.why == vector.get("why", "")
    assert verdict.decoded == vector.get("decoded")


def test_no_vector_is_missing_and_none_is_too_many() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert {path.stem for path in PATHS} == set(names)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_generator_still_makes_the_same_vector(case: Any) -> None:
    written = (generate_klp.FOLDER / f"{case.name}.json").read_text()
    assert generate_klp.text_of(generate_klp.vector(case)) == written


def test_the_bytes_in_the_document_are_those_of_the_vectors() -> None:
    text = generate_klp.DOCUMENT.read_text()
    assert text.count("<!-- pack-of-one ") >= 4
    assert generate_klp.document_of(text) == text


def test_the_bytes_that_the_document_explains_are_those_of_the_vector() -> None:
    vector = vector_of(generate_klp.FOLDER / "pack-of-one.json")
    lines = generate_klp.DOCUMENT.read_text().partition("## 9.")[2].splitlines()
    explained = "".join(
        re.split(r"\s{2,}", line.strip())[0].replace(" ", "")
        for line in lines
        if re.match(r" {4,}[0-9a-f]{2} ", line)
    )
    assert explained == vector["contains"][0]["hex"] + vector["payload"]


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162 section 2.1.1 over leaf hashes, written for this test."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


def root_of_path(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes:
    """RFC 9162 section 2.1.3.2, the steps of the verification."""
    node, last, r = index, count - 1, leaf
    for p in path:
        assert last > 0
        if node & 1 or node == last:
            r = sha256(b"\x01" + p + r).digest()
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            r = sha256(b"\x01" + r + p).digest()
        node, last = node >> 1, last >> 1
    assert last == 0
    return r


def leaf_hash(slot: Any) -> bytes:
    return sha256(b"\x00" + slot).digest() if isinstance(slot, bytes) else slot[0]


def judged(vector: dict[str, Any]) -> bool:
    """Whether an independent COSE library finds the signature of a pack or a shown message to be good."""
    value = cbor2.loads(bytes.fromhex(vector["hex"]))
    mesh = bytes.fromhex(vector["mesh"])
    if vector["kind"] == "tombstone":
        signed, external_aad = value, mesh
    elif vector["kind"] == "shown":
        signed, count, index, message, path = value
        root = root_of_path(leaf_hash(message), index, count, path)
        external_aad = mesh + count.to_bytes(2, "big") + root
    else:
        signed, slots = value
        root = tree_hash([leaf_hash(slot) for slot in slots])
        external_aad = mesh + len(slots).to_bytes(2, "big") + root
    judge: Any = Sign1Message.from_cose_obj(list(signed), allow_unknown_attributes=True)
    judge.key = OKPKey(crv=Ed25519, x=bytes.fromhex(vector["public"]))
    judge.external_aad = external_aad
    return bool(judge.verify_signature())


@pytest.mark.parametrize("path", SIGNED, ids=lambda path: path.stem)
def test_an_independent_cose_library_agrees_about_the_signature(path: Path) -> None:
    vector = vector_of(path)
    assert judged(vector) == vector["signature_valid"]
    if vector["valid"]:
        assert vector["signature_valid"]


@pytest.mark.parametrize(
    "path", [path for path in PATHS if "leaves" in vector_of(path)], ids=lambda path: path.stem
)
def test_what_leads_to_the_signature_is_worked_out_in_the_vector(path: Path) -> None:
    vector = vector_of(path)
    signed, slots = cbor2.loads(bytes.fromhex(vector["hex"]))
    leaves = [leaf_hash(slot) for slot in slots]
    external_aad = bytes.fromhex(vector["mesh"]) + len(slots).to_bytes(2, "big") + tree_hash(leaves)
    assert vector["leaves"] == [leaf.hex() for leaf in leaves]
    assert vector["root"] == tree_hash(leaves).hex()
    assert vector["external_aad"] == external_aad.hex()
    assert vector["to_be_signed"] == cbor2.dumps(["Signature1", signed[0], external_aad, signed[2]]).hex()
    assert vector["chain_hash"] == sha256(cbor2.dumps(signed)).hexdigest()[:32]


def test_a_tombstone_ends_with_the_chain_hash_of_the_last_pack_that_it_stands_for() -> None:
    pack, tombstone = (
        vector_of(generate_klp.FOLDER / f"{name}.json") for name in ("pack-of-five", "tombstone-dropped")
    )
    _, _, payload, _ = cbor2.loads(bytes.fromhex(tombstone["hex"]))
    assert payload.hex() == tombstone["payload"]
    assert cbor2.loads(payload)[-1].hex() == pack["chain_hash"] == tombstone["chain_hash"]
    assert tombstone["external_aad"] == tombstone["mesh"]


def test_the_cddl_agrees_with_every_vector() -> None:
    assert list(check_cddl.claims("klp"))
    assert [str(one) for one in check_cddl.differences("klp")] == []


def test_a_vector_that_the_cddl_does_not_agree_with_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "klp").mkdir()
    wrong = {"name": "wrong", "hex": "00", "valid": True, "cddl": "pack"}
    (tmp_path / "klp" / "wrong.json").write_text(json.dumps(wrong))
    monkeypatch.setattr(check_cddl, "VECTORS", tmp_path)
    (found,) = check_cddl.differences("klp")
    assert "klp/wrong wrong: pack should match" in str(found)
    assert check_cddl.main() == 1


def test_malformed_messages_of_a_good_pack_are_noted() -> None:
    vector = vector_of(generate_klp.FOLDER / "pack-with-malformed-messages.json")
    verdict = check_vector(vector)
    assert verdict.valid
    assert [note.split(":")[0] for note in verdict.notes] == [f"message {seq}" for seq in vector["malformed"]]


def test_bytes_are_verified_with_a_key_and_a_mesh() -> None:
    vector = vector_of(generate_klp.FOLDER / "pack-of-one.json")
    data, public, mesh = (bytes.fromhex(vector[part]) for part in ("hex", "public", "mesh"))
    assert verify_bytes(data, public, mesh).agrees
    verdict = verify_bytes(data, public, bytes(32))
    assert not verdict.agrees
    assert "signature" in verdict.why


def test_a_file_holds_bytes_or_hexadecimal_digits() -> None:
    assert read_bytes(b"82 00\n01\n") == b"\x82\x00\x01"
    assert read_bytes(b"\x82\x00") == b"\x82\x00"


@pytest.mark.parametrize(
    "vector",
    [
        None,
        {},
        {"name": "n"},
        {"name": "n", "valid": 1, "hex": ""},
        {"name": "n", "valid": True, "hex": "xyz", "kind": "cbor"},
        {"name": "n", "valid": True, "hex": "00", "kind": "else"},
        {"name": "n", "valid": True, "hex": "00", "kind": "pack"},
        {"name": "n", "valid": True, "hex": "00", "kind": "cose", "typ": "a"},
    ],
    ids=repr,
)
def test_a_vector_that_cannot_be_read_is_invalid(vector: Any) -> None:
    with pytest.raises(Invalid):
        check_vector(vector)


def test_a_vector_file_may_hold_a_list(tmp_path: Path) -> None:
    item = {"name": "n", "kind": "cbor", "hex": cbor.encode({1: "a"}).hex(), "valid": True}
    path = tmp_path / "some.json"
    path.write_text(json.dumps([item, item | {"hex": "1800", "valid": False}, item | {"hex": "1800"}]))
    assert [verdict.agrees for verdict in check_vector_file(path)] == [True, True, False]
    path.write_text("no json")
    with pytest.raises(Invalid, match="not JSON"):
        check_vector_file(path)


def test_a_cose_sign1_of_another_type_is_a_vector_too() -> None:
    data = cose.sign1(b"payload", cose.Typ.POLICY, KEY, external_aad=MESH)
    vector = {
        "name": "policy",
        "kind": "cose",
        "hex": data.hex(),
        "public": KEY.public.hex(),
        "external_aad": MESH.hex(),
        "typ": 65004,
        "valid": True,
    }
    assert check_vector(vector).agrees
    assert not check_vector(vector | {"typ": 65003}).agrees
    assert not check_vector(vector | {"external_aad": ""}).agrees
