"""Keys, tokens, and what is said in EAD items, as vectors."""

from __future__ import annotations

from functools import partial
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kos_edge.bootstrap import credential, enrolment
from kos_edge.klp import cbor
from kos_edge.klp.identity import fingerprint_words
from kos_edge.mesh.claims import Role
from kos_edge.mesh.invitation import INFO, Invitations, redemption
from kos_edge.mesh.token import Hint, Token
from tests.mesh.world import AUTHORITY, HUB, LAMP, OTHER_AUTHORITY, PUMP, ROGUE, SECOND_HUB, T0, chance, hub
from tests.vectors.mesh_judge import MESH, Vector, complaint
from tests.vectors.mesh_trust import ROTATED


def keys() -> list[Vector]:
    """Everybody's secrets, so that others can sign too."""
    people = {
        "authority": AUTHORITY.key,
        "authority-of-another-mesh": OTHER_AUTHORITY.key,
        "authority-rotated": ROTATED.key,
        "hub": HUB,
        "second-hub": SECOND_HUB,
        "pump": PUMP,
        "lamp": LAMP,
        "stranger": ROGUE,
    }
    return [
        {
            "name": name,
            "kind": "key",
            "seed": key.seed.hex(),
            "public": key.public.hex(),
            "kid": key.kid.hex(),
            "words": fingerprint_words(key.public),
        }
        for name, key in people.items()
    ] + [{"name": "mesh", "kind": "mesh", "mesh": MESH.hex(), "authority": AUTHORITY.key.public.hex()}]


def tokens() -> list[Vector]:
    """Tokens as text, and texts with one slip each."""
    small = _token()
    full = Token(
        mesh=MESH,
        hub=HUB.kid,
        token_id=small.token_id,
        secret=small.secret,
        hints=(Hint("192.168.1.20", 5683), Hint("fd00::1", 5683), Hint("hub.local", 5684)),
        mesh_name="farm",
        expires_at=T0 + 3_600,
    )
    text = small.text
    swap = next(at for at in range(40, 60) if text[at] != text[at + 1])
    wrong = {
        "bad-empty": "",
        "bad-prefix": "kos2" + text[4:],
        "bad-character": text[:30] + "u" + text[31:],
        "bad-one-letter": text[:30] + ("a" if text[30] != "a" else "b") + text[31:],
        "bad-letter-missing": text[:30] + text[31:],
        "bad-letter-too-many": text[:30] + "x" + text[30:],
        "bad-letters-swapped": text[:swap] + text[swap + 1] + text[swap] + text[swap + 2 :],
        "bad-cut-short": text[:80],
        "bad-end-missing": text[:-4],
    }
    good = {"one-address": small, "everything": full}
    return [
        {
            "name": name,
            "kind": "token",
            "valid": True,
            "text": token.text,
            "cddl": "token",
            "hex": token.body.hex(),
            "mesh": token.mesh.hex(),
            "hub": token.hub.hex(),
            "token_id": token.token_id.hex(),
            "secret": token.secret.hex(),
            "hints": [[hint.host, hint.port] for hint in token.hints],
            "mesh_name": token.mesh_name,
            "expires_at": token.expires_at,
        }
        for name, token in good.items()
    ] + [
        {
            "name": name,
            "kind": "token",
            "valid": False,
            "text": typed,
            "why": complaint(partial(Token.parse, typed)),
        }
        for name, typed in wrong.items()
    ]


def enrolments() -> list[Vector]:
    """EAD items, and the proof of a token step by step."""
    token, bound = _token(), bytes(range(0x40, 0x60))
    shown = credential.kccs(PUMP.public)
    said: dict[str, Any] = {
        "th_3": bound,
        "id_cred": shown.id_cred,
        "cred": shown.cred,
        "role": Role.EDGE,
        "name": "pump",
    }
    redeem = enrolment.ask(**said, token=token)[0][1] or b""
    member = hub().admit(PUMP.public, "pump", Role.EDGE, at=T0)
    waiting = enrolment.ask_to_wait(enrolment.Waiting(5, 600))[0][1] or b""
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=INFO).derive(token.secret)
    over = [bound, shown.id_cred, shown.cred, token.token_id, 1, "pump"]
    return [
        {
            "name": "redemption",
            "kind": "redemption",
            "secret": token.secret.hex(),
            "key": key.hex(),
            "th_3": bound.hex(),
            "id_cred_i": shown.id_cred.hex(),
            "cred_i": shown.cred.hex(),
            "cddl": "redeem-said",
            "hex": cbor.encode(over).hex(),
            "mac": redemption(token.secret, token_id=token.token_id, **said).hex(),
        },
        {"name": "with-a-token", "kind": "ead", "label": -65001, "cddl": "redeem", "hex": redeem.hex()},
        {
            "name": "without-a-token",
            "kind": "ead",
            "label": 65001,
            "cddl": "wish",
            "hex": (enrolment.ask(**said)[0][1] or b"").hex(),
        },
        {"name": "admitted", "kind": "ead", "label": 65002, "cddl": "membership", "hex": member.cwt.hex()},
        {"name": "waiting", "kind": "ead", "label": 65003, "cddl": "waiting", "hex": waiting.hex()},
    ]


def _token() -> Token:
    return Invitations(MESH, HUB.kid, random=chance(12)).invite(now=0, hints=[Hint("192.168.1.20", 5683)])
