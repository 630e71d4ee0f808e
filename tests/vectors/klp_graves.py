"""The vectors of tombstones: valid ones, and ones that something is wrong with."""

from __future__ import annotations

from typing import Any

from kos_edge.klp import cbor, cose
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.message import Reason
from kos_edge.klp.pack import Boundary, Class, Priority, Stream, peek
from kos_edge.klp.tombstone import bury
from tests.vectors.klp_forge import (
    EPOCH,
    FIVE,
    KEY,
    MESH,
    OTHER,
    OTHER_MESH,
    PREV,
    READING,
    STREAM,
    Case,
    changed,
    flipped,
    sealed,
)

CHAIN = peek(sealed(FIVE)).chain_hash
"""Of the pack of five, 1042 to 1046, so that the vector `pack-of-five` is what `tombstone-dropped` stands for."""

_KIND: dict[str, Any] = {"kind": "tombstone", "cddl": "tombstone"}


def good_graves() -> list[Case]:
    """Those that are valid."""
    group = Stream(KEY.kid, "group:" + "g" * 64, Class(Priority.CRITICAL), EPOCH)
    last = Stream(KEY.kid, "all", Class.from_code(15), 2**63 - 1)
    before = Boundary(2 << 32 | 0xC0FFEE, 977, PREV)
    return [
        Case("tombstone-dropped", "In the place of the vector pack-of-five.", buried(), **_KIND),
        Case(
            "tombstone-expired",
            "A long run.",
            buried(count=100_000, reason=Reason.EXPIRED, prev=CHAIN, first=1_047),
            **_KIND,
        ),
        Case("tombstone-first-ever", "Nothing was before it.", buried(first=1, prev=None), **_KIND),
        Case(
            "tombstone-first-of-epoch",
            "It names the last pack before.",
            buried(first=1, prev=before),
            **_KIND,
        ),
        Case("tombstone-for-a-group", "The longest there is.", buried(stream=group), **_KIND),
        Case(
            "tombstone-at-the-limits",
            "Every number that there is.",
            buried(stream=last, first=1, count=2**63 - 1, reason=Reason.DAMAGED, prev=None),
            **_KIND,
        ),
    ]


def bad_graves() -> list[Case]:
    """Those that are not."""
    one = buried()
    no: dict[str, Any] = {**_KIND, "valid": False}
    wrong: dict[str, Any] = {**no, "signature_valid": False}
    shape: dict[str, Any] = {**no, "cddl_valid": False}
    return [
        Case("bad-tombstone-signature", "One bit of the signature.", flipped(one, b"\x58\x40", 9), **wrong),
        Case(
            "bad-tombstone-count-flipped",
            "One bit of the count.",
            flipped(one, b"\x19\x04\x12\x05", 3),
            **wrong,
        ),
        Case("bad-tombstone-chain-flipped", "One bit of the chain hash.", flipped(one, CHAIN), **wrong),
        Case("bad-tombstone-mesh", "Signed in another mesh.", one, mesh=OTHER_MESH, **wrong),
        Case("bad-tombstone-public-key", "The key of somebody else.", one, public=OTHER.public, **wrong),
        Case(
            "bad-tombstone-key",
            "The signature is that of a key that is not the source's.",
            forged(key=OTHER),
            public=OTHER.public,
            **no,
        ),
        Case("bad-tombstone-typ", "Signed as a pack.", forged(typ=cose.Typ.PACK), **shape),
        Case(
            "bad-tombstone-unprotected",
            "Something in the unprotected header.",
            changed(one, lambda value: value[1].update({4: b"\xff"})),
            **shape,
        ),
        Case("bad-tombstone-version", "Version 2.", forged(version=2), **shape),
        Case(
            "bad-tombstone-volatile",
            "A volatile stream has none.",
            forged(code=1, prev=None),
            **shape,
        ),
        Case("bad-tombstone-sequence-zero", "It begins at 0.", forged(first=0), **shape),
        Case("bad-tombstone-count-zero", "It is for nothing.", forged(count=0), **shape),
        Case("bad-tombstone-overflow", "Its last number is none.", forged(first=2**63 - 1, count=2), **no),
        Case("bad-tombstone-reason-zero", "No reason.", forged(reason=0), **shape),
        Case("bad-tombstone-reason", "A reason that there is not.", forged(reason=5), **shape),
        Case("bad-tombstone-reason-boolean", "The reason is true.", forged(reason=True), **shape),
        Case("bad-tombstone-prev-missing", "Not the first, and nothing before it.", forged(prev=None), **no),
        Case(
            "bad-tombstone-prev-boundary",
            "The epoch before is later.",
            forged(first=1, prev=[EPOCH + 1, 1, PREV]),
            **no,
        ),
        Case("bad-tombstone-prev-first", "The first names a pack of its own epoch.", forged(first=1), **no),
        Case("bad-tombstone-chain-length", "A chain hash of 15 bytes.", forged(chain=CHAIN[:15]), **shape),
        Case("bad-tombstone-chain-null", "No chain hash.", forged(chain=None), **shape),
        Case("bad-tombstone-short", "Nine parts.", forged(drop=1), **shape),
        Case(
            "bad-tombstone-trailing-byte",
            "One byte after the end.",
            one + b"\x00",
            **{**shape, "signature_valid": None},
        ),
        Case(
            "bad-tombstone-truncated",
            "The last byte is missing.",
            one[:-1],
            **{**shape, "signature_valid": None},
        ),
        Case("bad-tombstone-tagged", "With the tag 18.", b"\xd2" + one, **{**shape, "signature_valid": None}),
        Case(
            "bad-tombstone-pack",
            "A pack where a tombstone should be.",
            sealed([READING])[1:].partition(b"\x81")[0],
            **{**shape, "signature_valid": None},
        ),
    ]


def buried(
    *,
    stream: Stream = STREAM,
    first: int = 1_042,
    count: int = 5,
    reason: Reason = Reason.DROPPED,
    prev: bytes | Boundary | None = PREV,
) -> bytes:
    """A tombstone as its source makes it."""
    return bury(stream, first, count, reason, prev=prev, chain_hash=CHAIN, key=KEY, mesh=MESH)


def forged(*, key: KeyPair = KEY, typ: int = cose.Typ.TOMBSTONE, drop: int = 0, **different: Any) -> bytes:
    """A tombstone with a good signature over whatever is given."""
    parts: dict[str, Any] = {
        "version": 1,
        "source": KEY.kid,
        "audience": 0,
        "code": 5,
        "epoch": EPOCH,
        "first": 1_042,
        "count": 5,
        "reason": 1,
        "prev": PREV,
        "chain": CHAIN,
    }
    unknown = different.keys() - parts.keys()
    if unknown:
        raise ValueError(f"a tombstone has no {unknown}")
    values = list((parts | different).values())
    return cose.sign1(cbor.encode(values[: len(values) - drop]), typ, key, external_aad=MESH)
