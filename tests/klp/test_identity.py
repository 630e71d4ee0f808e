from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.errors import Invalid
from kos_edge.klp import identity
from kos_edge.klp.identity import KeyPair

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
# RFC 8032 section 7.1, test 3
SEED = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
PUBLIC = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
SIGNATURE = bytes.fromhex(
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
)
MESSAGE = bytes.fromhex("af82")


def test_signing_gives_what_the_rfc_says() -> None:
    key = KeyPair.from_seed(SEED)
    assert key.public == PUBLIC
    assert key.sign(MESSAGE) == SIGNATURE
    identity.verify(PUBLIC, SIGNATURE, MESSAGE)


def test_a_kid_is_the_beginning_of_the_hash_of_the_raw_key() -> None:
    assert KeyPair.from_seed(SEED).kid == hashlib.sha256(PUBLIC).digest()[:16] == identity.kid_of(PUBLIC)


def test_a_new_key_comes_from_the_random_source_it_is_given() -> None:
    assert KeyPair.generate(lambda size: SEED[:size]) == KeyPair.from_seed(SEED)
    assert KeyPair.generate() != KeyPair.generate()


def test_the_secret_does_not_show() -> None:
    shown = repr(KeyPair.from_seed(SEED))
    assert SEED.hex() not in shown
    assert repr(SEED) not in shown
    assert "seed" not in shown


@given(st.integers(0, 64 * 8 - 1))
def test_no_bit_of_a_signature_can_be_flipped(bit: int) -> None:
    broken = bytearray(SIGNATURE)
    broken[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Invalid):
        identity.verify(PUBLIC, bytes(broken), MESSAGE)


@pytest.mark.parametrize("signature", [b"", SIGNATURE[:63], SIGNATURE + b"\x00"])
def test_a_signature_of_another_length_is_invalid(signature: bytes) -> None:
    with pytest.raises(Invalid, match="64 bytes"):
        identity.verify(PUBLIC, signature, MESSAGE)


def _double(x: int, y: int) -> tuple[int, int]:
    product = D * x * x % P * y % P * y % P
    return (
        2 * x * y * pow(1 + product, -1, P) % P,
        (y * y + x * x) * pow(1 - product, -1, P) % P,
    )


def _x_of(y: int) -> int | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return None if (x * x - square) % P else x


@pytest.mark.parametrize("y", sorted(identity._SMALL_ORDER))
@pytest.mark.parametrize("sign", [0, 1])
def test_a_key_of_small_order_is_refused(y: int, sign: int) -> None:
    x = _x_of(y)
    assert x is not None
    point = (x, y)
    for _ in range(3):
        point = _double(*point)
    assert point == (0, 1), "eight times the point is the neutral element"
    with pytest.raises(Invalid, match="small order"):
        identity.check_public((y | sign << 255).to_bytes(32, "little"))


def test_a_signature_that_fits_a_small_order_key_is_refused() -> None:
    neutral = (1).to_bytes(32, "little")
    base = bytes.fromhex("5866666666666666666666666666666666666666666666666666666666666666")
    with pytest.raises(Invalid, match="small order"):
        identity.verify(neutral, base + (1).to_bytes(32, "little"), b"anything")


@pytest.mark.parametrize("excess", range(19))
def test_a_key_that_is_not_reduced_is_refused(excess: int) -> None:
    for sign in (0, 1):
        with pytest.raises(Invalid, match="canonical"):
            identity.check_public((P + excess | sign << 255).to_bytes(32, "little"))


def test_a_key_that_is_not_on_the_curve_is_refused() -> None:
    y = next(y for y in range(2, 100) if _x_of(y) is None)
    with pytest.raises(Invalid, match="not a point"):
        identity.check_public(y.to_bytes(32, "little"))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(Invalid, match="32 bytes"):
        identity.check_public(bytes(length))
    with pytest.raises(Invalid, match="32 bytes"):
        KeyPair.from_seed(bytes(length))


def test_the_text_of_a_kid_goes_both_ways() -> None:
    kid = identity.kid_of(PUBLIC)
    assert identity.kid_text(kid) == f"kid:device:{kid.hex()}"
    assert identity.parse_kid(identity.kid_text(kid, "agent")) == ("agent", kid)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kid:device:",
        "kid:device:" + "0" * 31,
        "kid:device:" + "0" * 33,
        "kid:device:" + "A" * 32,
        "kid:Device:" + "0" * 32,
        "kid::" + "0" * 32,
        "kid:device:" + "0" * 32 + "\n",
        "0" * 32,
    ],
)
def test_another_text_is_not_a_kid(text: str) -> None:
    with pytest.raises(Invalid):
        identity.parse_kid(text)


def test_words_are_five_proquints_of_80_bits() -> None:
    # From the proposal for proquints: 127.0.0.1 is lusab-babad.
    kid = bytes((127, 0, 0, 1)) * 2 + bytes((127, 0)) + bytes(6)
    assert identity.fingerprint_words(kid) == "lusab-babad-lusab-babad-lusab"
    assert identity.fingerprint_words(PUBLIC) == identity.fingerprint_words(identity.kid_of(PUBLIC))
    with pytest.raises(Invalid):
        identity.fingerprint_words(b"short")
