"""The vectors are what the code makes, the document shows them, and others come to the same verdicts."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import cbor2
import pytest
from pycose.keys.curves import Ed25519
from pycose.keys.okp import OKPKey
from pycose.messages.sign1message import Sign1Message

from kos_edge.bootstrap import quarantine
from kos_edge.mesh import claims as claims_module
from kos_edge.mesh import invitation, membership, policy, revocation, rotation, token
from tests.mesh import stranger
from tests.vectors import check_cddl, generate_mesh

FILES = generate_mesh.files()
VECTORS = [vector for vectors in FILES.values() for vector in vectors]


def of(*kinds: str) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in VECTORS if vector["kind"] in kinds]


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_vectors_is_what_the_code_makes(name: str) -> None:
    assert (generate_mesh.FOLDER / name).read_text() == generate_mesh.text_of(FILES[name])


def test_there_is_no_other_file() -> None:
    assert {path.name for path in generate_mesh.FOLDER.iterdir()} == set(FILES)


def test_the_document_shows_the_vectors() -> None:
    text = generate_mesh.DOCUMENT.read_text()
    assert generate_mesh.document(text) == text


def test_the_numbers_in_the_document_are_those_of_the_code() -> None:
    text = " ".join(generate_mesh.DOCUMENT.read_text().split())
    for words in (
        f"claims are at most {claims_module.MAX_CLAIMS:,} bytes",
        f"at most {membership.MAX_MEMBERSHIP:,} bytes with all that it shows",
        f"from 0 to {claims_module.MAX_TIME:,}",
        f"at most {claims_module.MAX_CAPABILITIES} texts",
        f"Grace is {membership.GRACE_S:,.0f} seconds",
        f"At most {rotation.MAX_ROTATIONS} rotations",
        f"is at most {rotation.MAX_RECORD} bytes",
        f"at most {revocation.MAX_REASON} printable characters",
        f"1 to {revocation.MAX_NUMBER:,}",
        f"At most {revocation.MAX_BATCH:,} at once, {revocation.MAX_PER_ISSUER:,} of one signer, "
        f"none numbered more than {revocation.MAX_AHEAD:,} above n, {revocation.MAX_ISSUERS} signers",
        f"At most {policy.MAX_RULES} rules, {policy.MAX_POLICY:,} bytes",
        f'info = "{invitation.INFO.decode()}"',
        f"{quarantine.MAX_PENDING} newcomers, {quarantine.MAX_PER_ADDRESS} of one address, "
        f"{quarantine.STAY_S:.0f} seconds",
        f"at most {token.MAX_MESH_NAME} characters",
        f"host name; at most {token.MAX_HINTS}",
    ):
        assert words in text, words


def test_the_cddl_agrees_with_every_vector() -> None:
    assert len(list(check_cddl.claims("mesh"))) > 50
    assert [str(one) for one in check_cddl.differences("mesh")] == []


@pytest.mark.parametrize("vector", of("membership"))
def test_a_verifier_written_from_the_document_comes_to_the_same_verdict(vector: dict[str, Any]) -> None:
    mesh, data = bytes.fromhex(vector["mesh"]), bytes.fromhex(vector["hex"])
    if not vector["valid"]:
        with pytest.raises(stranger.No):
            stranger.membership(data, mesh)
        return
    claims, expected = stranger.membership(data, mesh), vector["decoded"]
    assert claims[8][1][-2].hex() == expected["public"]
    assert (claims[2], claims[4], claims[6]) == (
        expected["name"],
        expected["not_after"],
        expected["issued_at"],
    )


@pytest.mark.parametrize("vector", of("revocation"))
def test_revocations_too(vector: dict[str, Any]) -> None:
    mesh, data = bytes.fromhex(vector["mesh"]), bytes.fromhex(vector["hex"])
    if not vector["valid"]:
        with pytest.raises(stranger.No):
            stranger.revocation(data, mesh)
        return
    content, standings = stranger.revocation(data, mesh)
    assert (content[1], content[2].hex()) == (vector["decoded"]["number"], vector["decoded"]["kid"])
    assert ("issuer" in standings) == vector["decoded"]["by_authority"]


@pytest.mark.parametrize("vector", of("shut-out"))
def test_who_is_shut_out_too(vector: dict[str, Any]) -> None:
    mesh = bytes.fromhex(vector["mesh"])
    out: stranger.Revoked = {}
    for data in vector["revocations"]:
        content, standings = stranger.revocation(bytes.fromhex(data), mesh)
        for standing in standings:
            out.setdefault(standing, set()).add(content[2])
    cwt = bytes.fromhex(vector["membership"])
    if vector["refused"]:
        with pytest.raises(stranger.No):
            stranger.membership(cwt, mesh, out)
    else:
        assert stranger.membership(cwt, mesh, out)


@pytest.mark.parametrize(
    "vector", [one for one in of("membership", "revocation", "policy") if one.values[0]["valid"]]
)
def test_a_cose_library_verifies_the_signature(vector: dict[str, Any]) -> None:
    parts = cbor2.loads(bytes.fromhex(vector["hex"]))
    public = stranger.signer(parts[1], bytes.fromhex(vector["mesh"]))[0]
    message = Sign1Message.from_cose_obj(parts, True)
    message._external_aad = bytes.fromhex(vector["mesh"])
    message.key = OKPKey(crv=Ed25519, x=public)
    assert message.verify_signature()
    message._external_aad = bytes(32)
    assert not message.verify_signature()


def test_the_proof_of_a_token_can_be_made_with_the_standard_library() -> None:
    (vector,) = [one for one in VECTORS if one["name"] == "redemption"]
    got = {
        name: bytes.fromhex(value) for name, value in vector.items() if name not in ("name", "kind", "cddl")
    }
    pseudorandom = hmac.digest(bytes(32), got["secret"], "sha256")
    assert hmac.digest(pseudorandom, b"kos-edge invite 1\x01", "sha256") == got["key"]
    said = cbor2.loads(got["hex"])
    assert said[:3] == [got["th_3"], got["id_cred_i"], got["cred_i"]]
    assert hmac.digest(got["key"], got["hex"], "sha256") == got["mac"]
    assert cbor2.loads(got["id_cred_i"]) == {14: cbor2.loads(got["cred_i"])}


@pytest.mark.parametrize("vector", [one for one in of("token") if one.values[0]["valid"]])
def test_a_token_can_be_read_with_the_standard_library(vector: dict[str, Any]) -> None:
    to_rfc_4648 = str.maketrans("0123456789abcdefghjkmnpqrstvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    letters = vector["text"].removeprefix("kos1-").translate(to_rfc_4648)
    data = base64.b32decode(letters + "=" * (-len(letters) % 8))
    assert data[:-5].hex() == vector["hex"]
    assert data[-5:] == hashlib.sha256(data[:-5]).digest()[:5]
    body = cbor2.loads(data[:-5])
    assert (body[0], body[1].hex(), body[4].hex()) == (1, vector["mesh"], vector["secret"])


def test_what_is_held_can_be_summed_up_by_the_document() -> None:
    by_name = {vector["name"]: vector for vector in FILES["revocation.json"]}
    held = cbor2.loads(bytes.fromhex(by_name["held"]["hex"]))
    digests = b""
    for name in ("by-issuer", "by-issuer-second"):
        content = cbor2.loads(bytes.fromhex(by_name[name]["payload"]))
        digests += hashlib.sha256(cbor2.dumps([content[label] for label in (1, 2, 3, 4)])).digest()
    issuer = bytes.fromhex(by_name["by-issuer"]["decoded"]["issuer"])
    assert held[issuer] == [2, hashlib.sha256(digests).digest()[:8], b""]
