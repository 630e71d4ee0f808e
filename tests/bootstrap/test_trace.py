"""RFC 9529 section 2: every value of the trace, computed by us."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from kos_edge.bootstrap import wire
from kos_edge.bootstrap.credential import Credential
from kos_edge.bootstrap.edhoc import Initiator, Responder
from kos_edge.bootstrap.schedule import Label, derive, digest, extract
from kos_edge.bootstrap.suite import SUITES
from kos_edge.klp import cbor
from kos_edge.klp.identity import KeyPair

FILE = Path(__file__).parent.parent / "vectors" / "edhoc" / "rfc9529_s2_method0_suite0.json"
VALUES = json.loads(FILE.read_text())["values"]
RFC = {name: bytes.fromhex(value["hex"]) for name, value in VALUES.items() if "hex" in value}


def raw_public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def computed() -> dict[str, bytes]:
    """All that the RFC names, from the machines and the key schedule; only keys and credentials are given."""
    given = ("METHOD", "X", "C_I", "Y", "C_R", "SK_R", "SK_I", "CRED_R", "CRED_I", "ID_CRED_R", "ID_CRED_I")
    ours = {name: RFC[name] for name in given}
    ours["context_for_KeyUpdate"] = RFC["context_for_KeyUpdate"]
    alice, bob = KeyPair.from_seed(RFC["SK_I"]), KeyPair.from_seed(RFC["SK_R"])
    cred_i, cred_r = cbor.encode(RFC["CRED_I"]), cbor.encode(RFC["CRED_R"])
    one = Initiator(
        alice, Credential(RFC["ID_CRED_I"], cred_i), c_i=RFC["C_I"], suites=(0,), ephemeral=RFC["X"]
    )
    other = Responder(bob, Credential(RFC["ID_CRED_R"], cred_r), suites=(0, 4), ephemeral=RFC["Y"])

    ours["message_1"] = one.message_1()
    hello = other.read_message_1(ours["message_1"])
    ours["SUITES_I"] = cbor.encode(wire.write_suites((0,), 0))
    ours["G_X"], ours["C_I"], ours["EAD_1"] = hello.g_x, hello.c_i, wire.write_ead(hello.ead)

    ours["message_2"] = other.message_2(RFC["C_R"])
    assert one.read_message_2(ours["message_2"]) == RFC["ID_CRED_R"]
    ours["EAD_2"] = wire.write_ead(one.verify_message_2(cred_r, bob.public))
    at = one.transcript
    shared = X25519PrivateKey.from_private_bytes(RFC["X"]).exchange(
        X25519PublicKey.from_public_bytes(raw_public(RFC["Y"]))
    )
    ours |= {"G_Y": raw_public(RFC["Y"]), "PK_R": bob.public, "PK_I": alice.public, "G_XY": shared}
    ours |= {"H_message_1": digest(ours["message_1"]), "TH_2": at.th_2, "salt": at.th_2}
    ours["PRK_2e"] = ours["PRK_3e2m"] = ours["PRK_4e3m"] = extract(at.th_2, shared)
    assert at.prk_2e == ours["PRK_2e"]
    ours["Input_to_calculate_TH_2"] = cbor.encode_sequence(ours["G_Y"], ours["H_message_1"])

    c_r = cbor.encode(wire.write_identifier(one.c_r))
    th_2 = cbor.encode(at.th_2)
    ours["context_2"] = c_r + RFC["ID_CRED_R"] + th_2 + cred_r
    ours |= key_from(at.prk_2e, "MAC_2", Label.MAC_2, ours["context_2"], 32)
    ours["Message_to_be_signed_2"] = at.signed_2(c_r, RFC["ID_CRED_R"], cred_r, b"")
    ours["Signature_or_MAC_2"] = bob.sign(ours["Message_to_be_signed_2"])
    ours["PLAINTEXT_2"] = c_r + RFC["ID_CRED_R"] + cbor.encode(ours["Signature_or_MAC_2"])
    ours |= key_from(at.prk_2e, "KEYSTREAM_2", Label.KEYSTREAM_2, at.th_2, len(ours["PLAINTEXT_2"]))
    ours["CIPHERTEXT_2"] = at.mask_2(ours["PLAINTEXT_2"])

    ours["message_3"] = one.message_3()
    assert other.read_message_3(ours["message_3"]) == RFC["ID_CRED_I"]
    ours["EAD_3"] = wire.write_ead(other.verify_message_3(cred_i, alice.public))
    ours["TH_3"] = one.th_3
    ours["Input_to_calculate_TH_3"] = th_2 + ours["PLAINTEXT_2"] + cred_r
    th_3 = cbor.encode(at.th_3)
    ours["context_3"] = RFC["ID_CRED_I"] + th_3 + cred_i
    ours |= key_from(at.prk_2e, "MAC_3", Label.MAC_3, ours["context_3"], 32)
    ours["Message_to_be_signed_3"] = at.signed_3(RFC["ID_CRED_I"], cred_i, b"")
    ours["Signature_or_MAC_3"] = alice.sign(ours["Message_to_be_signed_3"])
    ours["PLAINTEXT_3"] = RFC["ID_CRED_I"] + cbor.encode(ours["Signature_or_MAC_3"])
    ours["CIPHERTEXT_3"] = at.seal_3(ours["PLAINTEXT_3"])
    ours["A_3"] = cbor.encode(["Encrypt0", b"", at.th_3])
    ours |= key_from(at.prk_2e, "K_3", Label.K_3, at.th_3, 16)
    ours |= key_from(at.prk_2e, "IV_3", Label.IV_3, at.th_3, 13)
    ours["Input_to_calculate_TH_4"] = th_3 + ours["PLAINTEXT_3"] + cred_i
    ours["TH_4"] = at.th_4

    ours["message_4"] = other.message_4()
    ours["EAD_4"] = ours["PLAINTEXT_4"] = wire.write_ead(one.read_message_4(ours["message_4"]))
    ours["CIPHERTEXT_4"] = at.seal_4(b"")
    ours["A_4"] = cbor.encode(["Encrypt0", b"", at.th_4])
    ours |= key_from(at.prk_2e, "K_4", Label.K_4, at.th_4, 16)
    ours |= key_from(at.prk_2e, "IV_4", Label.IV_4, at.th_4, 13)

    ours |= key_from(at.prk_2e, "PRK_out", Label.PRK_OUT, at.th_4, 32)
    ours |= key_from(ours["PRK_out"], "PRK_exporter", Label.PRK_EXPORTER, b"", 32)
    assert (at.prk_out, at.prk_exporter) == (ours["PRK_out"], ours["PRK_exporter"])
    ours |= key_from(at.prk_exporter, "OSCORE_Master_Secret", 0, b"", 16)
    ours |= key_from(at.prk_exporter, "OSCORE_Master_Salt", 1, b"", 8)
    keys = one.oscore()
    ours["OSCORE_Master_Secret"], ours["OSCORE_Master_Salt"] = keys.master_secret, keys.master_salt
    ours["Clients_OSCORE_Sender_ID"], ours["Servers_OSCORE_Sender_ID"] = keys.sender_id, keys.recipient_id

    one.update(RFC["context_for_KeyUpdate"])
    ours["PRK_out_after_KeyUpdate"] = at.prk_out
    ours["PRK_exporter_after_KeyUpdate"] = at.prk_exporter
    keys = one.oscore()
    ours["OSCORE_Master_Secret_after_KeyUpdate"] = keys.master_secret
    ours["OSCORE_Master_Salt_after_KeyUpdate"] = keys.master_salt
    return ours


def key_from(prk: bytes, name: str, label: int, context: bytes, length: int) -> dict[str, bytes]:
    info = cbor.encode_sequence(int(label), context, length)
    return {name: derive(prk, label, context, length), f"info_for_{name}": info}


OURS = computed()


@pytest.mark.parametrize("name", [name for name in RFC if name != "Application_AEAD_Algorithm__int"])
def test_a_value_of_the_trace_is_ours_too(name: str) -> None:
    if name.endswith("_cbor") or name.endswith("_bstr"):
        bare = OURS[name[:-5]]
        value = wire.write_identifier(bare) if name in ("C_I_cbor", "C_R_cbor") else bare
        assert cbor.encode(value) == RFC[name]
    else:
        assert OURS[name] == RFC[name]


def test_the_algorithms_of_oscore_are_those_of_the_trace() -> None:
    # The file gives "10" for AES-CCM-16-64-128 in the place of bytes: it is the decimal number.
    assert VALUES["Application_AEAD_Algorithm__int"]["hex"] == "10"
    assert SUITES[0].aead == 10
    assert SUITES[0].hash == int(VALUES["Application_Hash_Algorithm__int"]["value"])
