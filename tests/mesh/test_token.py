from __future__ import annotations

import re

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.errors import Invalid
from kos_edge.mesh.token import Hint, Token

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
TOKEN = Token(bytes(range(32)), bytes(16), b"token id", b"sixteen secrets!", (Hint("192.168.1.20", 5683),))

hints = st.builds(
    Hint,
    st.ip_addresses().map(str) | st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.local)?", fullmatch=True),
    st.integers(1, 65_535),
)
tokens = st.builds(
    Token,
    mesh=st.binary(min_size=32, max_size=32),
    hub=st.binary(min_size=16, max_size=16),
    token_id=st.binary(min_size=8, max_size=8),
    secret=st.binary(min_size=16, max_size=16),
    hints=st.lists(hints, max_size=4).map(tuple),
    mesh_name=st.text(max_size=32).filter(str.isprintable),
    expires_at=st.none() | st.integers(0, 2**33),
)


@given(tokens)
def test_a_token_survives_its_text(token: Token) -> None:
    assert Token.parse(token.text) == token
    assert Token.parse(token.qr_text) == token


@given(tokens, st.data())
def test_one_wrong_character_is_named_by_its_place(token: Token, data: st.DataObject) -> None:
    text = token.text
    place = data.draw(st.integers(5, len(text) - 1))
    wrong = data.draw(st.sampled_from([letter for letter in ALPHABET if letter != text[place]]))
    with pytest.raises(
        Invalid, match=r"^the token is mistyped: character \d+ after kos1- is wrong$"
    ) as error:
        Token.parse(text[:place] + wrong + text[place + 1 :])
    assert int(re.findall(r"\d+", error.value.message)[0]) == place - 4


def test_a_token_with_one_address_is_a_small_qr_code() -> None:
    assert len(TOKEN.text) == 159
    assert segno.make_qr(TOKEN.qr_text, error="m").designator == "7-M"
    assert re.fullmatch(r"[0-9A-Z-]+", TOKEN.qr_text)


def test_case_white_space_hyphens_and_look_alikes_do_not_matter() -> None:
    text = TOKEN.text
    spread = "\n".join(text[at : at + 20] for at in range(0, len(text), 20))
    hyphens = "-".join(text[5:][at : at + 5] for at in range(0, len(text) - 5, 5))
    alike = text[:5] + text[5:].replace("0", "O").replace("1", "l")
    for typed in (
        f"  {text}\n",
        text.upper(),
        spread,
        f"KOS1{hyphens}",
        alike,
        text[:5] + text[5:].replace("1", "I"),
    ):
        assert Token.parse(typed) == TOKEN


@pytest.mark.parametrize(
    ("typed", "what"),
    [
        ("", "there is nothing"),
        ("hello", "it does not begin with kos1-"),
        (TOKEN.text[5:], "it does not begin with kos1-"),
        (TOKEN.text[:60], "it is cut short: 55 characters after kos1-, not 140 or more"),
        (TOKEN.text[:-4], "more than one character is wrong, or its end is missing"),
        (TOKEN.text[:30] + "!" + TOKEN.text[31:], "'!', character 26 after kos1-, does not occur in tokens"),
        (TOKEN.text[:30] + TOKEN.text[31:], "before character 26 after kos1- one is missing"),
        (TOKEN.text[:30] + "x" + TOKEN.text[30:], "character 26 after kos1- is one too many"),
        (TOKEN.text * 9, "it has 1431 characters, a token at most 1024"),
    ],
)
def test_what_is_wrong_with_a_mistyped_token_is_named(typed: str, what: str) -> None:
    with pytest.raises(Invalid) as error:
        Token.parse(typed)
    assert error.value.message == f"the token is mistyped: {what}"
    assert error.value.hint


def test_neighbours_that_changed_places_are_named() -> None:
    text = TOKEN.text
    place = next(at for at in range(40, 60) if text[at] != text[at + 1])
    with pytest.raises(
        Invalid, match=f"character {place - 4} after kos1- and the next one have changed places"
    ):
        Token.parse(text[:place] + text[place + 1] + text[place] + text[place + 2 :])


def test_a_message_about_a_token_does_not_repeat_it() -> None:
    for at in (10, 50, 100, 150):
        with pytest.raises(Invalid) as error:
            Token.parse(TOKEN.text[:at] + TOKEN.text[at + 1 :])
        assert not any(TOKEN.text[here : here + 6] in error.value.message for here in range(5, 150))
    assert "sixteen secrets!" not in repr(TOKEN)


@pytest.mark.parametrize("host", ["", " ", "a b", "fe80::1%eth0", "-x", "x" * 254, "ü", "http://x", "[::1]"])
def test_a_host_is_an_address_or_a_name(host: str) -> None:
    with pytest.raises(Invalid):
        Hint(host, 5683)


def test_an_address_has_one_form() -> None:
    assert Hint("2001:DB8:0::1", 1) == Hint("2001:db8::1", 1)
    for port in (0, 65_536, -1):
        with pytest.raises(Invalid):
            Hint("hub.local", port)


def test_a_token_of_parts_that_do_not_fit_is_invalid() -> None:
    good = (bytes(32), bytes(16), bytes(8), bytes(16))
    for at in range(4):
        mesh, hub, token_id, secret = (part[:-1] if here == at else part for here, part in enumerate(good))
        with pytest.raises(Invalid):
            Token(mesh, hub, token_id, secret)
    with pytest.raises(Invalid):
        Token(*good, hints=(Hint("a", 1),) * 5)
    with pytest.raises(Invalid):
        Token(*good, mesh_name="x" * 33)
    with pytest.raises(Invalid):
        Token(*good, expires_at=-1)
