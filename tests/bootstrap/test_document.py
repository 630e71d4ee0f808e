"""The vectors are what the code makes, the document shows the vectors, and others come to the same bytes."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from kos_edge.bootstrap import responders, session, wire
from kos_edge.bootstrap.carriage import split
from kos_edge.bootstrap.schedule import OscoreKeys
from kos_edge.transport.derive import derive
from tests.vectors import generate_edhoc
from tests.vectors.check_cddl import claims, differences

VECTORS = generate_edhoc.vectors()
NAMES = [vector["name"] for vector in VECTORS]


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_a_vector_on_disk_is_what_the_code_makes(vector: dict[str, Any]) -> None:
    path = generate_edhoc.FOLDER / f"{vector['name']}.json"
    assert path.read_text() == generate_edhoc.encoded(vector)


def test_the_document_shows_the_vectors_and_the_cddl() -> None:
    text = generate_edhoc.DOCUMENT.read_text()
    assert generate_edhoc.document(text) == text
    for vector in VECTORS:
        for value in vector["values"].values():
            assert value[: generate_edhoc.WIDTH] in text


def test_the_limits_in_the_document_are_those_of_the_code() -> None:
    text = generate_edhoc.DOCUMENT.read_text()
    for row in (
        f"| payload of the handshake | {wire.MAX_MESSAGE:,} bytes |",
        f"| handshakes that wait for message_3 | {responders.MAX_PENDING} |",
        f"| of these from one host | {responders.MAX_PENDING_PER_HOST} |",
        f"| time from message_1 to message_3 | {responders.PENDING_LIFETIME:.0f} s |",
        f"| time an initiator gives to the whole | {session.INITIATOR_LIFETIME:.0f} s |",
        f"| Echo values that an initiator follows for one request | {session.MAX_ECHOES} |",
    ):
        assert row in text
    assert f"up to {session.MESSAGE_1_LENGTH} bytes" in text
    assert f"at most {wire.MAX_ERROR_TEXT} characters" in text


def test_the_cddl_and_the_vectors_agree() -> None:
    assert len(list(claims("edhoc"))) > 10
    assert differences("edhoc") == []


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_another_implementation_comes_to_the_same_bytes(vector: dict[str, Any]) -> None:
    """EDHOC once more, straight from the RFC, with other libraries and nothing of ours."""
    got = {name: bytes.fromhex(value) for name, value in vector["values"].items()}
    keys = {name: bytes.fromhex(value) for name, value in vector["keys"].items()}
    key_length, iv_length = (16, 13) if vector["suite"] == 0 else (32, 12)

    def kdf(prk: bytes, label: int, context: bytes, length: int) -> bytes:
        info = b"".join(map(cbor2.dumps, (label, context, length)))
        return HKDFExpand(SHA256(), length, info).derive(prk)

    def sha(*parts: bytes) -> bytes:
        return hashlib.sha256(b"".join(parts)).digest()

    def decrypt(key_label: int, th: bytes, data: bytes) -> bytes:
        key = kdf(got["prk_2e"], key_label, th, key_length)
        iv = kdf(got["prk_2e"], key_label + 1, th, iv_length)
        cipher = AESCCM(key, 8) if vector["suite"] == 0 else ChaCha20Poly1305(key)
        return cipher.decrypt(iv, data, cbor2.dumps(["Encrypt0", b"", th]))

    def check(public: bytes, mac_label: int, first: bytes, id_cred: bytes, th: bytes, cred: bytes) -> None:
        plaintext = got["plaintext_2" if mac_label == 2 else "plaintext_3"]
        at = len(first) + len(id_cred) + 2
        signature, ead = plaintext[at : at + 64], plaintext[at + 64 :]
        assert plaintext == first + id_cred + b"\x58\x40" + signature + ead
        context = first + id_cred + cbor2.dumps(th) + cred + ead
        mac = kdf(got["prk_2e"], mac_label, context, 32)
        signed = cbor2.dumps(["Signature1", id_cred, cbor2.dumps(th) + cred + ead, mac])
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed)

    payloads = [bytes.fromhex(step["payload"]) for step in vector["steps"]]
    first, second, third = payloads[:3] if vector["suite"] == 4 else payloads[2:]
    assert first[:1] == b"\xf5"
    g_y = cbor2.loads(second)[:32]
    assert g_y == keys["g_y"]
    shared = X25519PrivateKey.from_private_bytes(keys["x"]).exchange(X25519PublicKey.from_public_bytes(g_y))
    assert got["th_2"] == sha(cbor2.dumps(g_y), cbor2.dumps(sha(first[1:])))
    assert got["prk_2e"] == hmac.digest(got["th_2"], shared, "sha256")
    masked = cbor2.loads(second)[32:]
    stream = kdf(got["prk_2e"], 0, got["th_2"], len(masked))
    assert got["plaintext_2"] == bytes(a ^ b for a, b in zip(masked, stream, strict=True))
    c_r = got["plaintext_2"][: got["plaintext_2"].index(got["id_cred_r"])]
    check(keys["responder_public"], 2, c_r, got["id_cred_r"], got["th_2"], got["cred_r"])
    assert got["th_3"] == sha(cbor2.dumps(got["th_2"]), got["plaintext_2"], got["cred_r"])

    message_3 = split(third)[0] if vector["suite"] == 0 else third[len(c_r) :]
    assert got["plaintext_3"] == decrypt(3, got["th_3"], cbor2.loads(message_3))
    check(keys["initiator_public"], 6, b"", got["id_cred_i"], got["th_3"], got["cred_i"])
    assert got["th_4"] == sha(cbor2.dumps(got["th_3"]), got["plaintext_3"], got["cred_i"])
    if "plaintext_4" in got:
        assert got["plaintext_4"] == decrypt(8, got["th_4"], cbor2.loads(payloads[3]))

    assert got["prk_out"] == kdf(got["prk_2e"], 7, got["th_4"], 32)
    assert got["prk_exporter"] == kdf(got["prk_out"], 10, b"", 32)
    assert got["oscore_master_secret"] == kdf(got["prk_exporter"], 0, b"", key_length)
    assert got["oscore_master_salt"] == kdf(got["prk_exporter"], 1, b"", 8)
    assert (got["initiator_sender_id"], got["initiator_recipient_id"]) == (got["c_r"], got["c_i"])


def test_the_oscore_part_of_the_example_is_what_the_transport_derives() -> None:
    values = {name: bytes.fromhex(value) for name, value in VECTORS[1]["values"].items()}
    derived = derive(
        OscoreKeys(
            values["oscore_master_secret"],
            values["oscore_master_salt"],
            values["initiator_sender_id"],
            values["initiator_recipient_id"],
            10,
            -16,
        )
    )
    assert derived.sender_key == values["oscore_sender_key"]
    assert derived.recipient_key == values["oscore_recipient_key"]
    assert derived.common_iv == values["oscore_common_iv"]
