"""`python -m tests.vectors.generate_edhoc`: writes `tests/vectors/edhoc/kos_*.json` and the worked example of
`docs/protocol/bootstrap.md`, the same bytes at every run.

Two exchanges: a newcomer that redeems an invitation (suite 4, message_4), and a member that reconnects to a
responder that speaks suite 0 only, with message_3 in front of its first protected request. The OSCORE part of
the second is put together here by hand, from RFC 8613, so that it is a second opinion on ours.
"""

from __future__ import annotations

import json
import random
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kos_edge.bootstrap import carriage, enrolment, wire
from kos_edge.bootstrap import credential as credentials
from kos_edge.bootstrap.credential import Credential
from kos_edge.bootstrap.edhoc import Initiator, Responder
from kos_edge.bootstrap.schedule import OscoreKeys
from kos_edge.bootstrap.session import MESSAGE_1_LENGTH
from kos_edge.klp import cbor
from kos_edge.klp.identity import KeyPair
from kos_edge.mesh.authority import Authority
from kos_edge.mesh.claims import Role
from kos_edge.mesh.issuer import Issuer
from kos_edge.mesh.membership import Membership
from kos_edge.mesh.revocation import Revocations
from kos_edge.mesh.roster import Roster
from kos_edge.mesh.token import Token

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "tests" / "vectors" / "edhoc"
DOCUMENT = ROOT / "docs" / "protocol" / "bootstrap.md"
CDDL = DOCUMENT.parent / "edhoc.cddl"
EXAMPLE_MARKS = "<!-- worked example: generated -->\n", "<!-- end of worked example -->\n"
CDDL_MARKS = "<!-- cddl: generated -->\n", "<!-- end of cddl -->\n"
AT = 1_800_000_000
WIDTH = 96
"""Characters of hexadecimal in a line of the document."""


def seed(what: str) -> bytes:
    return sha256(f"kos-edge vectors: {what}".encode()).digest()


class Mesh:
    """An authority, a hub that it made an issuer, and whom that admits."""

    def __init__(self) -> None:
        self._random = random.Random(seed("a mesh")).randbytes
        authority_key = KeyPair.from_seed(seed("an authority"))
        self.authority = Authority(authority_key, authority_key.public)
        self.hub = KeyPair.from_seed(seed("a hub"))
        membership = self.authority.issue_issuer(self.hub.public, "hub-1", at=AT, random=self._random)
        self.hub_cwt = membership.cwt
        self.issuer = Issuer(
            self.hub,
            membership,
            self.authority.mesh,
            Roster(),
            Revocations(self.authority.mesh),
            random=self._random,
        )

    def admit(self, key: KeyPair, name: str) -> Membership:
        return self.issuer.admit(key.public, name, Role.EDGE, at=AT)


def enrolment_suite_4() -> dict[str, Any]:
    """A newcomer with an invitation, admitted at once: message_4 has its membership."""
    mesh = Mesh()
    newcomer = KeyPair.from_seed(seed("a newcomer"))
    token = Token(mesh.authority.mesh, mesh.hub.kid, seed("a token id")[:8], seed("a token secret")[:16], ())
    mine, yours = credentials.kccs(newcomer.public, "pump-house"), credentials.kcwt(mesh.hub_cwt)
    one = Initiator(newcomer, mine, c_i=b"\x0a", suites=(4, 0), ephemeral=seed("x of a newcomer"))
    other = Responder(mesh.hub, yours, suites=(0, 4), ephemeral=seed("y of a hub"))

    message_1 = one.message_1(length=MESSAGE_1_LENGTH - 1)
    other.read_message_1(message_1)
    message_2 = other.message_2(b"\x27")
    check(one.read_message_2(message_2) == yours.id_cred)
    one.verify_message_2(yours.cred, mesh.hub.public)
    ead_3 = enrolment.ask(
        Role.EDGE, "pump-house", th_3=one.th_3, id_cred=mine.id_cred, cred=mine.cred, token=token
    )
    message_3 = one.message_3(ead_3)
    check(other.read_message_3(message_3) == mine.id_cred)
    other.verify_message_3(mine.cred, newcomer.public, enrolment.EAD_3_LABELS)
    ead_4 = ((enrolment.MEMBERSHIP, mesh.admit(newcomer, "pump-house").cwt),)
    message_4 = other.message_4(ead_4)
    one.read_message_4(message_4, enrolment.EAD_4_LABELS)
    steps = [
        step("initiator", "POST", 65, carriage.MESSAGE_1_PREFIX + message_1),
        step("responder", "2.04", 64, message_2),
        step("initiator", "POST", 65, identifier(one.c_r) + message_3),
        step("responder", "2.04", 64, message_4),
    ]
    return {
        "name": "kos_enrolment_suite4",
        "about": "A newcomer redeems an invitation: kccs against kcwt, suite 4, message_3 and message_4.",
        "suite": 4,
        "keys": given(newcomer, "x of a newcomer", mesh.hub, "y of a hub"),
        "mesh": mesh.authority.mesh.hex(),
        "token_id": token.token_id.hex(),
        "token_secret": token.secret.hex(),
        "steps": steps,
        "values": values(one, mine, yours, message_2, message_3, message_4),
        "contains": claims(steps, one, message_2, message_3, message_4),
    }


def reconnect_suite_0() -> dict[str, Any]:
    """A member meets a responder without suite 4: an error, another message_1, and a combined request."""
    mesh = Mesh()
    member = KeyPair.from_seed(seed("a member"))
    mine, yours = credentials.kcwt(mesh.admit(member, "pump-house").cwt), credentials.kcwt(mesh.hub_cwt)
    first = Initiator(member, mine, c_i=b"\x05", suites=(4, 0), ephemeral=seed("first x of a member"))
    one = Initiator(
        member, mine, c_i=b"\x05", suites=(4, 0), selected=0, ephemeral=seed("second x of a member")
    )
    other = Responder(mesh.hub, yours, suites=(0,), ephemeral=seed("y of a small hub"))

    length = MESSAGE_1_LENGTH - 1
    refused, message_1 = first.message_1(length=length), one.message_1(length=length)
    other.read_message_1(message_1)
    message_2 = other.message_2(b"\xc1")
    check(one.read_message_2(message_2) == yours.id_cred)
    one.verify_message_2(yours.cred, mesh.hub.public)
    message_3 = one.message_3()
    check(other.read_message_3(message_3) == mine.id_cred)
    other.verify_message_3(mine.cred, member.public)
    derived, option, protected = protect(one.oscore(), b"\xb3klp\xff" + cbor.encode([]))
    steps = [
        step("initiator", "POST", 65, carriage.MESSAGE_1_PREFIX + refused),
        step("responder", "4.00", 64, wire.ErrorMessage(wire.WRONG_SUITE, (0,)).encode()),
        step("initiator", "POST", 65, carriage.MESSAGE_1_PREFIX + message_1),
        step("responder", "2.04", 64, message_2),
        step(
            "initiator", "POST", None, carriage.combine(message_3, protected), oscore=option.hex(), edhoc=""
        ),
    ]
    return {
        "name": "kos_reconnect_suite0",
        "about": "A member reconnects: kcwt on both sides, suite 4 refused, suite 0, combined request.",
        "suite": 0,
        "keys": given(member, "second x of a member", mesh.hub, "y of a small hub"),
        "mesh": mesh.authority.mesh.hex(),
        "steps": steps,
        "values": values(one, mine, yours, message_2, message_3, None) | derived,
        "contains": [
            *claims(steps[2:], one, message_2, message_3, None),
            claim("failure", bytes.fromhex(steps[1]["payload"])),
            claim("plaintext-3", cbor.encode_sequence({4: b"kid"}, bytes(64)), valid=False),
            claim("failure", cbor.encode_sequence(3, False), valid=False),
        ],
    }


def protect(keys: OscoreKeys, inner: bytes) -> tuple[dict[str, str], bytes, bytes]:
    """A POST with partial IV 0 from the initiator: what was derived, the OSCORE option, the payload."""

    def expand(identifier: bytes, kind: str, length: int) -> bytes:
        info = cbor.encode([identifier, None, keys.aead, kind, length])
        return HKDF(SHA256(), length, keys.master_salt, info).derive(keys.master_secret)

    sender_key, recipient_key = expand(keys.sender_id, "Key", 16), expand(keys.recipient_id, "Key", 16)
    common_iv = expand(b"", "IV", 13)
    piv = b"\x00"
    plain_nonce = bytes([len(keys.sender_id)]) + keys.sender_id.rjust(7, b"\0") + piv.rjust(5, b"\0")
    nonce = bytes(a ^ b for a, b in zip(plain_nonce, common_iv, strict=True))
    external_aad = cbor.encode([1, [keys.aead], keys.sender_id, piv, b""])
    aad = cbor.encode(["Encrypt0", b"", external_aad])
    plaintext = b"\x02" + inner
    protected = AESCCM(sender_key, 8).encrypt(nonce, plaintext, aad)
    derived = {
        "oscore_sender_key": sender_key.hex(),
        "oscore_recipient_key": recipient_key.hex(),
        "oscore_common_iv": common_iv.hex(),
        "oscore_nonce": nonce.hex(),
        "oscore_aad": aad.hex(),
        "oscore_plaintext": plaintext.hex(),
    }
    return derived, b"\x09" + piv + keys.sender_id, protected


def values(
    one: Initiator,
    mine: Credential,
    yours: Credential,
    message_2: bytes,
    message_3: bytes,
    message_4: bytes | None,
) -> dict[str, str]:
    """All that a stranger wants to compare on the way."""
    at, keys = one.transcript, one.oscore()
    found = {
        "c_i": one.c_i,
        "c_r": one.c_r,
        "id_cred_r": yours.id_cred,
        "cred_r": yours.cred,
        "id_cred_i": mine.id_cred,
        "cred_i": mine.cred,
        "th_2": at.th_2,
        "prk_2e": at.prk_2e,
        "plaintext_2": at.mask_2(cbor.decode(message_2)[32:]),
        "th_3": at.th_3,
        "plaintext_3": at.open_3(cbor.decode(message_3)),
        "th_4": at.th_4,
        "plaintext_4": at.open_4(cbor.decode(message_4)) if message_4 else None,
        "prk_out": at.prk_out,
        "prk_exporter": at.prk_exporter,
        "oscore_master_secret": keys.master_secret,
        "oscore_master_salt": keys.master_salt,
        "initiator_sender_id": keys.sender_id,
        "initiator_recipient_id": keys.recipient_id,
    }
    return {name: value.hex() for name, value in found.items() if value is not None}


def given(initiator: KeyPair, x: str, responder: KeyPair, y: str) -> dict[str, str]:
    """What both sides bring with them."""

    def public(private: str) -> str:
        return X25519PrivateKey.from_private_bytes(seed(private)).public_key().public_bytes_raw().hex()

    return {
        "initiator_seed": initiator.seed.hex(),
        "initiator_public": initiator.public.hex(),
        "initiator_kid": initiator.kid.hex(),
        "responder_seed": responder.seed.hex(),
        "responder_public": responder.public.hex(),
        "responder_kid": responder.kid.hex(),
        "x": seed(x).hex(),
        "g_x": public(x),
        "y": seed(y).hex(),
        "g_y": public(y),
    }


def step(sender: str, code: str, content_format: int | None, payload: bytes, **more: str) -> dict[str, Any]:
    return {"from": sender, "code": code, "content_format": content_format, **more, "payload": payload.hex()}


def claims(
    steps: list[dict[str, Any]], one: Initiator, message_2: bytes, message_3: bytes, message_4: bytes | None
) -> list[dict[str, Any]]:
    """The sequences of this exchange as the arrays that `edhoc.cddl` describes."""
    at = one.transcript
    parts = [
        ("first-request", bytes.fromhex(steps[0]["payload"])),
        ("answer", message_2),
        ("plaintext-2", at.mask_2(cbor.decode(message_2)[32:])),
        ("second-request", identifier(one.c_r) + message_3),
        ("plaintext-3", at.open_3(cbor.decode(message_3))),
    ]
    if message_4:
        parts += [("answer", message_4), ("plaintext-4", at.open_4(cbor.decode(message_4)))]
    return [claim(rule, data) for rule, data in parts]


def claim(rule: str, sequence: bytes, *, valid: bool = True) -> dict[str, Any]:
    return {"rule": rule, "hex": cbor.encode(wire.read_sequence(sequence, rule)).hex(), "valid": valid}


def worked_example(vector: dict[str, Any]) -> str:
    """An exchange as the document shows it."""
    lines = [f"### `{vector['name']}`", "", vector["about"], "", "```"]
    for name, value in vector["keys"].items():
        lines += shown(name, value)
    lines += [line for name in ("mesh", "token_id", "token_secret") for line in shown(name, vector.get(name))]
    for number, one in enumerate(vector["steps"], 1):
        options = [f"Content-Format {one['content_format']}"] if one["content_format"] else []
        options += [f"OSCORE {one['oscore']}, EDHOC (empty)"] if "oscore" in one else []
        lines += ["", f"{number}. {one['from']}: {one['code']}, {', '.join(options)}"]
        lines += wrapped(one["payload"])
    lines.append("")
    for name, value in vector["values"].items():
        lines += shown(name, value)
    return "\n".join([*lines, "```", ""])


def shown(name: str, value: str | None) -> list[str]:
    if value is None:
        return []
    return [f"{name} = {value}"] if len(value) <= 64 else [f"{name} =", *wrapped(value)]


def wrapped(value: str) -> list[str]:
    return ["    " + value[at : at + WIDTH] for at in range(0, len(value), WIDTH)]


def identifier(c_x: bytes) -> bytes:
    return cbor.encode(wire.write_identifier(c_x))


def check(holds: bool) -> None:
    if not holds:
        raise SystemExit("an exchange went wrong: nothing was written")


def vectors() -> list[dict[str, Any]]:
    """All of them."""
    return [enrolment_suite_4(), reconnect_suite_0()]


def document(text: str) -> str:
    """`text` with its generated parts as they have to be."""
    cddl = f"```cddl\n{CDDL.read_text()}```\n"
    text = between(text, CDDL_MARKS, cddl)
    return between(text, EXAMPLE_MARKS, "\n".join(worked_example(vector) for vector in vectors()))


def between(text: str, marks: tuple[str, str], part: str) -> str:
    """`text` with `part` between the two marks."""
    before, rest = text.split(marks[0])
    return before + marks[0] + part + marks[1] + rest.split(marks[1])[1]


def encoded(vector: dict[str, Any]) -> str:
    """A vector as its file has it."""
    return json.dumps(vector, indent=1) + "\n"


def main() -> None:
    for vector in vectors():
        (FOLDER / f"{vector['name']}.json").write_text(encoded(vector))
    DOCUMENT.write_text(document(DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
