"""The vectors of KLP that are single CBOR items."""

from __future__ import annotations

from typing import Any

from kos_edge.klp import cbor
from tests.vectors.klp_forge import Case


def cbor_items() -> list[Case]:
    good = {
        "cbor-integers": (
            "Integers at the edges of their widths.",
            [0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1, -1, -24, -25, -(2**64)],
        ),
        "cbor-floats": (
            "Numbers in the shortest width that holds them.",
            [
                0.0,
                -0.0,
                1.5,
                65_504.0,
                65_505.0,
                1e-7,
                5.960464477539063e-08,
                3.4028234663852886e38,
                1.1,
                float("inf"),
                float("-inf"),
                float("nan"),
            ],
        ),
        "cbor-keys": (
            "Keys in the bytewise order of their encodings, not the shorter first.",
            {10: 1, 100: 2, -1: 3, b"b": 4, "z": 5, "aa": 6},
        ),
        "cbor-simple": ("False, true, null and empty things.", [False, True, None, [], {}, "", b""]),
        "cbor-deep": ("Eight deep.", [[[[[[[[]]]]]]]]),
    }
    bad = {
        "cbor-bad-integer": ("23 in two bytes.", "1817"),
        "cbor-bad-length": ("The length of text in two bytes.", "780161"),
        "cbor-bad-indefinite": ("Text in pieces.", "7f61616162ff"),
        "cbor-bad-float-double": ("1.5 as a double.", "fb3ff8000000000000"),
        "cbor-bad-float-single": ("1.5 as a single.", "fa3fc00000"),
        "cbor-bad-nan": ("A NaN with another payload.", "f97e01"),
        "cbor-bad-nan-double": ("A NaN as a double.", "fb7ff8000000000000"),
        "cbor-bad-keys-length-first": ("Keys with the shorter first (RFC 7049).", "a22000186400"),
        "cbor-bad-keys-duplicate": ("A key twice.", "a201000101"),
        "cbor-bad-key-array": ("An array as a key.", "a18000"),
        "cbor-bad-utf8": ("Text that is not UTF-8.", "62c328"),
        "cbor-bad-surrogate": ("A surrogate in text.", "63eda080"),
        "cbor-bad-undefined": ("The simple value undefined.", "f7"),
        "cbor-bad-simple": ("An unassigned simple value.", "f820"),
        "cbor-bad-tag": ("A tag.", "c11a514b67b0"),
        "cbor-bad-bignum": ("A big number.", "c249010000000000000000"),
        "cbor-bad-trailing": ("Two items.", "0000"),
        "cbor-bad-empty": ("No item.", ""),
        "cbor-bad-truncated": ("Half an array.", "8301"),
        "cbor-bad-huge": ("An array of more items than there are bytes.", "9b7fffffffffffffff00"),
        "cbor-bad-deep": ("Nine deep.", "81" * 8 + "80"),
        "cbor-bad-reserved": ("A reserved length.", "1c"),
        "cbor-bad-break": ("A break by itself.", "ff"),
    }
    nothing: dict[str, Any] = {"kind": "cbor", "signature_valid": None, "cddl": None}
    return [Case(name, about, cbor.encode(value), **nothing) for name, (about, value) in good.items()] + [
        Case(name, about, bytes.fromhex(text), valid=False, **nothing) for name, (about, text) in bad.items()
    ]
