"""The vectors of KLP that are packs and that something is wrong with."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from kos_edge.klp import cbor, cose, merkle
from kos_edge.klp.pack import encode_message, peek, show
from tests.vectors.klp_forge import (
    EPOCH,
    FIVE,
    KEY,
    OTHER,
    OTHER_MESH,
    PREV,
    READING,
    Case,
    changed,
    flipped,
    forged,
    header_with,
    sealed,
)


def bad_cases() -> list[Case]:
    """All of them."""
    return bad_signatures() + bad_protected_headers() + bad_encodings() + bad_headers() + bad_shown()


def bad_signatures() -> list[Case]:
    five, one = sealed(FIVE), sealed([READING])
    small = bytes.fromhex("0100000000000000000000000000000000000000000000000000000000000000")
    not_canonical = (2**255 - 18).to_bytes(32, "little")
    # With the neutral element as the key, R = s * B is a signature of any message: here s = 1.
    base = bytes.fromhex("5866666666666666666666666666666666666666666666666666666666666666")
    one_signature = base + (1).to_bytes(32, "little")

    def of(public: bytes) -> list[Any]:
        return header_with(source=sha256(public).digest()[:16])

    def with_signature(value: list[Any]) -> None:
        value[0][3] = one_signature

    no: dict[str, Any] = {"valid": False, "signature_valid": False}
    return [
        Case("bad-signature-flipped", "One bit of the signature.", flipped(one, b"\x58\x40", 9), **no),
        Case(
            "bad-header-flipped",
            "One bit of the first sequence number.",
            flipped(one, bytes.fromhex("190412"), 2),
            **no,
        ),
        Case("bad-message-flipped", "One bit of a message.", flipped(five, b"%RH", 0), **no),
        Case("bad-mesh", "Signed in another mesh.", one, mesh=OTHER_MESH, **no),
        Case(
            "bad-key",
            "The signature is that of a key that is not the source's.",
            forged(header_with(), key=OTHER),
            public=OTHER.public,
            valid=False,
        ),
        Case("bad-public-key", "The key of somebody else.", one, public=OTHER.public, **no),
        Case(
            "bad-small-order-key",
            "A key of small order, for which anybody can sign.",
            changed(forged(of(small)), with_signature),
            public=small,
            valid=False,
            signature_valid=None,
        ),
        Case(
            "bad-non-canonical-key",
            "The same point, its y written as 1 + p.",
            changed(forged(of(not_canonical)), with_signature),
            public=not_canonical,
            valid=False,
            signature_valid=None,
        ),
        Case("bad-count-one-less", "The last slot is gone.", changed(five, lambda v: v[1].pop()), **no),
        Case("bad-count-one-more", "A slot was added.", changed(five, lambda v: v[1].append(v[1][0])), **no),
        Case(
            "bad-order",
            "Two messages changed places.",
            changed(five, lambda v: v[1].__setitem__(slice(2, 5, 2), v[1][4:1:-2])),
            **no,
        ),
        Case(
            "bad-leaf-hash",
            "A removed message with another leaf hash.",
            flipped(peek(five).remove({1_046: 1}), peek(five).leaves[4]),
            **no,
        ),
        Case(
            "bad-inner-node-as-leaf",
            "Two slots replaced by one with the hash of their parent.",
            changed(five, _parent_as_leaf),
            **no,
        ),
        Case("bad-signed-without-context", "Signed with an empty external_aad.", _without_context(), **no),
    ]


def bad_protected_headers() -> list[Case]:
    def of(hexadecimal: str) -> bytes:
        return forged(header_with(), protected=bytes.fromhex(hexadecimal))

    no: dict[str, Any] = {"valid": False, "cddl_valid": False}
    return [
        Case("bad-typ", "Signed as a membership.", of("a201271019fdea"), **no),
        Case(
            "bad-alg", "The algorithm is said to be ES256.", of("a201261019fde9"), signature_valid=None, **no
        ),
        Case(
            "bad-alg-unprotected",
            "The algorithm stands outside of the signature.",
            forged(header_with(), protected=bytes.fromhex("a11019fde9"), unprotected=bytes.fromhex("a10127")),
            signature_valid=None,
            **no,
        ),
        Case("bad-typ-missing", "There is no type.", of("a10127"), **no),
        Case(
            "bad-protected-extra", "A further part in the protected header.", of("a3012704401019fde9"), **no
        ),
        Case(
            "bad-protected-order",
            "Keys of the protected header in the wrong order.",
            of("a21019fde90127"),
            valid=False,
        ),
        Case("bad-protected-duplicate", "The algorithm twice.", of("a3012701271019fde9"), **no),
        Case(
            "bad-protected-long", "The type in more bytes than needed.", of("a20127101a0000fde9"), valid=False
        ),
        Case(
            "bad-unprotected",
            "Something in the unprotected header.",
            forged(header_with(), unprotected=bytes.fromhex("a10441ff")),
            **no,
        ),
        Case(
            "bad-signature-short",
            "A signature of 63 bytes.",
            changed(sealed([READING]), lambda v: v[0].__setitem__(3, v[0][3][:63])),
            valid=False,
            cddl_valid=False,
            signature_valid=False,
        ),
    ]


def bad_encodings() -> list[Case]:
    one = sealed([READING])
    payload = cbor.encode(header_with())
    no: dict[str, Any] = {"valid": False, "cddl_valid": False}
    duplicate = forged(header_with(), [bytes.fromhex("84000200a102f6")])
    return [
        Case("bad-trailing-byte", "One byte after the end.", one + b"\x00", signature_valid=None, **no),
        Case("bad-truncated", "The last byte is missing.", one[:-1], signature_valid=None, **no),
        Case("bad-tagged", "COSE_Sign1 with its tag 18.", b"\x82\xd2" + one[1:], signature_valid=None, **no),
        Case(
            "bad-indefinite",
            "The outer array has no length.",
            b"\x9f" + one[1:] + b"\xff",
            signature_valid=None,
            **no,
        ),
        Case(
            "bad-long-length",
            "The length of the signature in two bytes.",
            one.replace(b"\x58\x40", b"\x59\x00\x40"),
            signature_valid=None,
            **no,
        ),
        Case(
            "bad-header-long-integer",
            "The version in two bytes, signed like that.",
            forged(payload.replace(b"\x8b\x01", b"\x8b\x18\x01", 1)),
            valid=False,
        ),
        Case(
            "bad-header-trailing",
            "A byte after the end of the header, signed like that.",
            forged(payload + b"\x00"),
            **no,
        ),
        Case(
            "bad-empty-array-of-slots",
            "A pack of nothing.",
            duplicate[: duplicate.rindex(b"\x81")] + b"\x80",
            signature_valid=None,
            **no,
        ),
    ]


def bad_headers() -> list[Case]:
    def of(**parts: Any) -> bytes:
        return forged(header_with(**parts))

    no: dict[str, Any] = {"valid": False, "cddl_valid": False}
    by_rule: dict[str, Any] = {"valid": False}
    two = ["air.temperature", "air.humidity"]
    return [
        Case("bad-version", "Version 2.", of(version=2), **no),
        Case("bad-version-boolean", "Version true.", of(version=True), **no),
        Case("bad-source-length", "A source of 8 bytes.", of(source=KEY.kid[:8]), **no),
        Case("bad-class", "Class 16.", of(**{"class": 16}), **no),
        Case("bad-audience-role", "A role that there is not.", of(audience=4), **no),
        Case("bad-audience-group", "A group with a dot in its name.", of(audience="a.b"), **no),
        Case("bad-epoch-zero", "Epoch 0.", of(epoch=0), **no),
        Case("bad-sequence-zero", "Sequence number 0.", of(first=0), **no),
        Case(
            "bad-sequence-overflow",
            "The second message has no number.",
            forged(header_with(first=2**63 - 1), [encode_message(READING, 0)] * 2),
            **by_rule,
        ),
        Case(
            "bad-prev-missing", "Not the first of its epoch, and nothing before it.", of(prev=None), **by_rule
        ),
        Case("bad-prev-length", "A chain hash of 15 bytes.", of(prev=PREV[:15]), **no),
        Case("bad-prev-volatile", "A volatile pack with a chain hash.", of(**{"class": 1}), **by_rule),
        Case(
            "bad-prev-boundary",
            "The epoch before is later.",
            of(first=1, prev=[EPOCH + 1, 1, PREV]),
            **by_rule,
        ),
        Case("bad-prev-first", "The first of an epoch names a pack of that epoch.", of(first=1), **by_rule),
        Case("bad-wall-alone", "Wall time without uncertainty.", of(uncertainty_ms=None), **no),
        Case("bad-wall-negative", "Wall time before 1970.", of(wall_ms=-1), **no),
        Case("bad-mono-float", "The monotonic time is a floating-point number.", of(mono_ms=1.5), **no),
        Case("bad-topic", "A topic with an empty segment.", of(topics=["air..temperature"]), **no),
        Case(
            "bad-topic-twice",
            "A topic twice in the table.",
            of(topics=["air.temperature", "air.temperature"]),
            **by_rule,
        ),
        Case(
            "bad-topic-twice-in-one-form",
            "A topic twice in the table, in the same form.",
            of(topics=[["air", "Cel"], ["air", "Cel"]]),
            **by_rule,
        ),
        Case("bad-topic-array", "An array with a topic alone.", of(topics=[["air.temperature"]]), **no),
        Case("bad-form-of-a-number", "A unit that is a number.", of(topics=[["air", 1]]), **no),
        Case("bad-form-unit", "An empty unit.", of(topics=[["air", ""]]), **no),
        Case("bad-form-unit-long", "A unit of 65 bytes.", of(topics=[["air", "°" * 32 + "C"]]), **no),
        Case("bad-form-name", "A name with a space.", of(topics=[["air", "a b", "Cel"]]), **no),
        Case("bad-form-null-name", "Null as a name.", of(topics=[["air", None, "Cel"]]), **no),
        Case("bad-form-half", "A name without a unit.", of(topics=[["air", "t", "Cel", "h"]]), **no),
        Case(
            "bad-form-name-twice",
            "A name twice in one form.",
            of(topics=[["air", "t", "Cel", "t", "%RH"]]),
            **by_rule,
        ),
        Case(
            "bad-form-of-65",
            "A form of 65 values.",
            of(topics=[_wide("air", 65)]),
            **no,
        ),
        Case(
            "bad-header-items",
            "A header of 1,025 data items.",
            of(topics=["air", _wide("air", 50), *(_wide(f"air.{n}", 64) for n in range(7))]),
            **by_rule,
        ),
        Case("bad-topic-unused", "A topic in the table that no message uses.", of(topics=two), **by_rule),
        Case(
            "bad-topic-order",
            "The table is not in the order of first use.",
            forged(header_with(topics=two), [encode_message(READING, 1), encode_message(READING, 0)]),
            **by_rule,
        ),
        Case("bad-header-short", "A header of ten parts.", forged(header_with()[:10]), **no),
        Case(
            "bad-reason",
            "A reason for a removal that there is not.",
            forged(header_with(), [[bytes(32), 5]]),
            **no,
        ),
        Case(
            "bad-slot",
            "A slot that is text.",
            changed(sealed([READING]), lambda v: v[1].__setitem__(0, "a")),
            valid=False,
            cddl_valid=False,
            signature_valid=None,
        ),
    ]


def bad_shown() -> list[Case]:
    five = sealed(FIVE)
    third, last = show(five, 1_044), show(five, 1_046)
    leaves = peek(five).leaves
    inner = leaves[0] + leaves[1]
    alone: dict[str, Any] = {"kind": "shown", "cddl": "shown", "valid": False, "signature_valid": False}

    def as_inner(value: list[Any]) -> None:
        value[1], value[2], value[3], value[4] = 5, 0, inner, value[4][1:]

    return [
        Case(
            "bad-shown-index",
            "Shown as another one of the five.",
            changed(third, lambda v: v.__setitem__(2, 3)),
            **alone,
        ),
        Case(
            "bad-shown-count", "Shown as one of six.", changed(third, lambda v: v.__setitem__(1, 6)), **alone
        ),
        Case(
            "bad-shown-message",
            "Another message.",
            changed(third, lambda v: v.__setitem__(3, encode_message(READING, 1))),
            **alone,
        ),
        Case(
            "bad-shown-path-short",
            "The last step of the path is missing.",
            changed(third, lambda v: v[4].pop()),
            **alone | {"signature_valid": None},
        ),
        Case(
            "bad-shown-path-long",
            "One step too many.",
            changed(last, lambda v: v[4].append(v[4][0])),
            **alone | {"signature_valid": None},
        ),
        Case(
            "bad-shown-path-flipped",
            "One bit of the path.",
            changed(third, lambda v: v[4].__setitem__(0, bytes(32))),
            **alone,
        ),
        Case(
            "bad-shown-inner-node",
            "The two hashes below an inner node, presented as a message.",
            changed(show(five, 1_042), as_inner),
            **alone | {"signature_valid": None},
        ),
        Case(
            "bad-shown-outside",
            "The sixth of five.",
            changed(third, lambda v: v.__setitem__(2, 5)),
            **alone | {"signature_valid": None},
        ),
    ]


def _parent_as_leaf(value: list[Any]) -> None:
    left, right = (merkle.leaf(slot) for slot in value[1][:2])
    parent = sha256(b"\x01" + left + right).digest()
    value[1][:2] = [[parent, 1]]


def _without_context() -> bytes:
    slot = encode_message(READING, 0)
    signed = cose.sign1(cbor.encode(header_with()), cose.Typ.PACK, KEY, external_aad=b"")
    return b"\x82" + signed + cbor.encode([slot])


def _wide(topic: str, count: int) -> list[Any]:
    """An entry of the topic table with a form of so many values."""
    return [topic, *(part for number in range(count) for part in (f"v{number}", None))]
