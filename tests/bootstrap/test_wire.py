from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.bootstrap import wire
from kos_edge.bootstrap.wire import Ead, ErrorMessage
from kos_edge.errors import Invalid, Misuse, Refused
from kos_edge.klp import cbor


@given(st.binary(max_size=8))
def test_an_identifier_has_one_spelling_and_comes_back(identifier: bytes) -> None:
    value = wire.write_identifier(identifier)
    assert wire.read_identifier(value, "C_I") == identifier
    if isinstance(value, int):
        assert cbor.encode(value) == identifier  # RFC 9528 section 3.3.2: the byte is the integer's encoding


def test_all_48_one_byte_integers_are_identifiers() -> None:
    for value in range(-24, 24):
        assert wire.read_identifier(value, "C_I") == cbor.encode(value)


@pytest.mark.parametrize("value", [24, -25, b"\x00", b"\x37", "text", None, True, [1], {}], ids=repr)
def test_what_is_no_identifier_is_rejected(value: object) -> None:
    with pytest.raises(Invalid):
        wire.read_identifier(value, "C_I")


@given(st.integers(min_value=0, max_value=1500))
def test_padding_fills_exactly(length: int) -> None:
    items = wire.padding(length)
    encoded = wire.write_ead(items)
    assert len(encoded) == length
    read = wire.read_ead(wire.read_sequence(encoded, "padding"), "padding")
    assert wire.understand(read, (), "padding") == ()


@given(st.lists(st.tuples(st.integers(-70_000, 70_000), st.none() | st.binary(max_size=40)), max_size=8))
def test_ead_items_come_back_in_their_order(items: list[tuple[int, bytes | None]]) -> None:
    values = wire.read_sequence(wire.write_ead(items), "EAD")
    assert list(wire.read_ead(values, "EAD")) == items


@pytest.mark.parametrize(
    "values", [[b"no label"], [1, b"one", b"two"], ["text"], [True], [1, None]], ids=repr
)
def test_what_is_no_ead_is_rejected(values: list[object]) -> None:
    with pytest.raises(Invalid):
        wire.read_ead(values, "EAD_1")


def test_an_item_is_critical_by_its_sign_alone() -> None:
    assert Ead(-1).critical
    assert not Ead(0).critical
    assert not Ead(1, b"x").critical


def test_suites_up_to_the_selected_one_are_written() -> None:
    assert wire.write_suites((4, 0), 4) == 4
    assert wire.write_suites((4, 0), 0) == [4, 0]
    assert wire.write_suites((0,), 0) == 0
    with pytest.raises(Misuse):
        wire.write_suites((4,), 0)


@pytest.mark.parametrize("value", [[], [4], [4, "0"], "4", None, True, [True, False], b"\x04"], ids=repr)
def test_what_is_no_list_of_suites_is_rejected(value: object) -> None:
    with pytest.raises(Invalid):
        wire.read_suites(value, "SUITES_I")


@pytest.mark.parametrize(
    ("message", "encoded"),
    [
        (ErrorMessage(1, "no"), "01626e6f"),
        (ErrorMessage(2, (0,)), "0200"),
        (ErrorMessage(2, (0, 4)), "02820004"),
        (ErrorMessage(3, True), "03f5"),
        (ErrorMessage(77, [1]), "184d8101"),
    ],
)
def test_an_error_message_comes_back(message: ErrorMessage, encoded: str) -> None:
    assert message.encode().hex() == encoded
    assert ErrorMessage.read(message.encode()) == message


@pytest.mark.parametrize(
    "encoded", ["", "01", "0100", "0260", "0281 00", "03f4", "0360", "f500", "60 60", "01 60 60"]
)
def test_what_is_no_error_message_is_rejected(encoded: str) -> None:
    with pytest.raises(Invalid):
        ErrorMessage.read(bytes.fromhex(encoded))


def test_an_error_tells_the_other_side_what_it_needs() -> None:
    assert ErrorMessage.about(wire.WrongSuite((0, 4))) == ErrorMessage(2, (0, 4))
    assert ErrorMessage.about(wire.UnknownCredential("by kid")) == ErrorMessage(3, True)
    assert ErrorMessage.about(Refused("because")) == ErrorMessage(1, "because")


def test_the_text_of_a_peer_is_cut_and_escaped() -> None:
    shown = str(ErrorMessage.read(ErrorMessage(1, "a\x1b[31m\n" + "x" * 1000).encode()))
    assert shown.startswith("a\\x1b[31m\\nxxx")
    assert len(shown) < 2 * wire.MAX_ERROR_TEXT
    assert str(ErrorMessage(2, (0,))).endswith("supported: 0")
    assert str(ErrorMessage(3, True)) == "unknown credential"
    assert str(ErrorMessage(99, b"\n")) == "EDHOC error 99"
