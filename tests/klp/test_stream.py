from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.errors import Invalid
from kos_edge.klp.stream import (
    Class,
    Position,
    Priority,
    Stream,
    audience_from_wire,
    audience_to_wire,
    stream_from_wire,
)

KID = bytes(range(16))
AUDIENCES = (
    st.sampled_from(["hub", "edge", "relay", "operator", "all"])
    | st.from_regex(r"group:[A-Za-z0-9_-]{1,64}", fullmatch=True)
    | st.binary(min_size=16, max_size=16).map(lambda kid: f"kid:{kid.hex()}")
)
STREAMS = st.builds(
    Stream,
    st.binary(min_size=16, max_size=16),
    AUDIENCES,
    st.builds(Class, st.sampled_from(Priority), st.booleans(), st.booleans()),
    st.integers(1, 2**63 - 1),
)


@given(st.builds(Position, STREAMS, st.integers(1, 2**63 - 1)))
def test_a_message_id_names_one_position(position: Position) -> None:
    text = str(position)
    assert Position.parse(text) == position
    assert str(Position.parse(text)) == text


def test_a_message_id_is_kid_audience_class_epoch_and_sequence() -> None:
    stream = Stream(KID, "group:a_1", Class(Priority.HIGH, True, False), 7 << 32 | 0xABCDEF)
    assert str(Position(stream, 42)) == "000102030405060708090a0b0c0d0e0f.group:a_1.6.0000000700abcdef.42"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        f"{KID.hex()}.hub.5.0000000000000001.0",
        f"{KID.hex()}.hub.5.0000000000000001.01",
        f"{KID.hex()}.hub.5.0000000000000000.1",
        f"{KID.hex()}.hub.5.1.1",
        f"{KID.hex()}.hub.05.0000000000000001.1",
        f"{KID.hex()}.hub.16.0000000000000001.1",
        f"{KID.hex()}.hubs.5.0000000000000001.1",
        f"{KID.hex()}.hub.5.0000000000000001.1\n",
        f"{KID.hex()}.hub.5.0000000000000001.9223372036854775808",
        f"{KID.hex()}.hub.5.8000000000000000.1",
        f"{KID.hex().upper()}.hub.5.0000000000000001.1",
        f"{KID.hex()}.hub.5.0000000000000001.\N{ARABIC-INDIC DIGIT ONE}",
    ],
)
def test_another_text_is_no_message_id(text: str) -> None:
    with pytest.raises(Invalid):
        Position.parse(text)


@given(AUDIENCES)
def test_an_audience_goes_to_the_wire_and_back(audience: str) -> None:
    assert audience_from_wire(audience_to_wire(audience)) == audience


@pytest.mark.parametrize(
    ("audience", "wire"),
    [
        ("hub", 0),
        ("edge", 1),
        ("relay", 2),
        ("operator", 3),
        ("all", 255),
        ("group:a", "a"),
        (f"kid:{KID.hex()}", KID),
    ],
)
def test_roles_are_numbers_groups_names_and_kids_bytes(audience: str, wire: object) -> None:
    assert audience_to_wire(audience) == wire


@pytest.mark.parametrize(
    "audience", ["", "Hub", "group:", "group:a.b", "group:" + "a" * 65, "kid:00", "node"]
)
def test_another_text_is_no_audience(audience: str) -> None:
    with pytest.raises(Invalid):
        audience_to_wire(audience)


@pytest.mark.parametrize("wire", [4, 254, -1, True, None, 1.0, "", "a.b", b"", bytes(15), []])
def test_another_value_is_no_audience(wire: object) -> None:
    with pytest.raises(Invalid):
        audience_from_wire(wire)


def test_the_class_code_is_priority_and_two_bits() -> None:
    assert Class(Priority.CRITICAL, durable=False, fresh=False).code == 3
    assert Class().code == 5
    assert Class(Priority.LOW, durable=True, fresh=True).code == 12
    assert [Class.from_code(code).code for code in range(16)] == list(range(16))


@pytest.mark.parametrize("code", [-1, 16, True, 1.0, None])
def test_another_number_is_no_class(code: int) -> None:
    with pytest.raises(Invalid):
        Class.from_code(code)


@pytest.mark.parametrize(("source", "epoch"), [(bytes(15), 1), (KID, 0), (KID, 2**63)])
def test_a_stream_has_a_source_and_an_epoch(source: bytes, epoch: int) -> None:
    with pytest.raises(Invalid):
        Stream(source, "hub", Class(), epoch)


@given(STREAMS)
def test_a_stream_is_read_as_it_was_written(stream: Stream) -> None:
    wire = (stream.source, audience_to_wire(stream.audience), stream.cls.code, stream.epoch)
    assert stream_from_wire(*wire) == stream_from_wire(*wire) == stream


@pytest.mark.parametrize(
    ("audience", "code"),
    [(True, 5), (1, True), (1.0, 5), ([], 5), ({}, 5), (None, 5), (1, []), (1, 16), (9, 5)],
)
def test_what_only_equals_an_audience_or_a_class_is_none(audience: object, code: object) -> None:
    assert stream_from_wire(KID, 1, 1, 7) != stream_from_wire(KID, 1, 5, 7)
    with pytest.raises(Invalid):
        stream_from_wire(KID, audience, code, 7)
