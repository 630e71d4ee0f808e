from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.errors import Invalid
from kos_edge.klp import body, cbor, jsonform
from tests.klp.test_cbor import VALUES, shallow

KID = bytes(16)
NAMES = st.text(min_size=1, max_size=20)
NAMED = st.dictionaries(st.text(max_size=10), st.integers(-(2**64), 2**64 - 1) | st.text(), max_size=3)
SMALL = st.integers(0, 2**53 - 1)
CONTENT = VALUES.filter(lambda value: shallow(value, 4))
PAYLOADS = st.one_of(
    st.builds(
        body.Intent,
        NAMES,
        NAMED,
        st.none() | SMALL,
        st.none() | st.builds(body.Retry, st.integers(1, 255), st.sampled_from(body.Backoff), SMALL),
    ),
    st.builds(body.Data, CONTENT, st.none() | st.integers(0, 2**32 - 1) | NAMES, st.none() | NAMES),
    st.builds(body.Config, NAMES, NAMED, st.sampled_from(body.Merge), st.booleans()),
    st.builds(body.Ping, st.none() | st.binary(min_size=1, max_size=64), st.booleans()),
    st.builds(body.Error, NAMES, st.text(max_size=50), CONTENT),
    st.builds(
        body.Trust,
        st.sampled_from(body.Act),
        st.binary(min_size=16, max_size=16),
        st.integers(0, 100),
        st.lists(
            st.builds(
                body.Evidence, st.sampled_from(body.EvidenceKind), st.just(KID), st.none() | SMALL, CONTENT
            ),
            max_size=2,
        ).map(tuple),
        st.none() | st.integers(0, jsonform.MAX_WALL_MS),
    ),
    st.builds(
        body.Governance,
        st.text() | NAMED,
        st.none()
        | st.builds(
            body.Assertion,
            st.lists(NAMES, max_size=3).map(tuple),
            st.none() | NAMES,
            st.none() | st.binary(min_size=32, max_size=32),
            st.none() | st.integers(0, 100),
        ),
    ),
)


@given(PAYLOADS)
def test_a_payload_goes_to_the_wire_and_back(payload: body.Payload) -> None:
    wire = cbor.decode(cbor.encode(payload.to_wire()))
    again = body.from_wire(payload.TYPE, wire)
    assert type(again) is type(payload)
    assert cbor.encode(again.to_wire()) == cbor.encode(payload.to_wire())


@given(PAYLOADS)
def test_a_payload_goes_to_json_and_back(payload: body.Payload) -> None:
    text = json.dumps(body.to_json(payload), allow_nan=False)
    again = body.from_json(payload.NAME, json.loads(text))
    assert type(again) is type(payload)
    assert cbor.encode(again.to_wire()) == cbor.encode(payload.to_wire())


def test_there_are_seven_types() -> None:
    named = [(number, kind.NAME) for number, kind in sorted(body.TYPES.items())]
    assert named == [
        (1, "intent"), (2, "data"), (3, "config"), (4, "ping"), (5, "error"), (6, "trust"), (7, "governance"),
    ]  # fmt: skip


KID_WIRE = {1: 0, 2: KID, 3: 50}


@pytest.mark.parametrize(
    ("number", "wire"),
    [
        (0, {}),
        (8, {}),
        (2, None),
        (2, []),
        (2, {}),
        (2, {1: 112}),
        (2, {2: 1, 1: -1}),
        (2, {2: 1, 1: 2**32}),
        (2, {2: 1, 1: ""}),
        (2, {2: 1, 1: None}),
        (2, {2: 1, 1: True}),
        (2, {2: 1, 3: 1.5}),
        (2, {2: 1, 4: b"abc"}),
        (2, {2: 1, 4: bytes(8)}),
        (2, {2: 1, 5: 1}),
        (2, {2: 1, 31: 1}),
        (2, {2: 1, -1: 1}),
        (2, {2: 1, "a": 1}),
        (2, {2: 1, 65_536: 1}),
        (1, {}),
        (1, {1: ""}),
        (1, {1: "a" * 256}),
        (1, {1: "a", 2: {1: 2}}),
        (1, {1: "a", 2: None}),
        (1, {1: "a", 3: -1}),
        (1, {1: "a", 4: None}),
        (1, {1: "a", 4: [0, 1, 1]}),
        (1, {1: "a", 4: [1, 2, 1]}),
        (1, {1: "a", 4: [1, 1]}),
        (1, {1: "a", 4: [1, True, 1]}),
        (3, {1: "t", 2: {}}),
        (3, {1: "t", 3: 1}),
        (3, {2: {}, 3: 1}),
        (3, {1: "t", 2: {}, 3: 3}),
        (3, {1: "t", 2: {}, 3: 1, 4: False}),
        (3, {1: "t", 2: {}, 3: 1, 4: 1}),
        (4, {1: b""}),
        (4, {1: bytes(65)}),
        (4, {2: False}),
        (4, {2: None}),
        (5, {1: "c"}),
        (5, {2: "t"}),
        (5, {1: "c", 2: "t" * 1_025}),
        (6, {1: 4, 2: KID}),
        (6, {1: 0, 2: KID}),
        (6, {1: 2, 2: bytes(15)}),
        (6, KID_WIRE | {3: 101}),
        (6, KID_WIRE | {4: []}),
        (6, KID_WIRE | {4: [[3, KID, None, None]]}),
        (6, KID_WIRE | {4: [[0, b"", None, None]]}),
        (6, KID_WIRE | {4: [[0, KID, -1, None]]}),
        (6, KID_WIRE | {4: [[0, KID, None]]}),
        (7, {}),
        (7, {1: 1}),
        (7, {1: "s", 2: None}),
        (7, {1: "s", 2: {1: "p"}}),
        (7, {1: "s", 2: {3: bytes(31)}}),
        (7, {1: "s", 2: {5: 1}}),
    ],
)
def test_a_body_that_breaks_the_grammar_is_invalid(number: int, wire: Any) -> None:
    with pytest.raises(Invalid):
        body.from_wire(number, wire)


def test_parts_from_32_up_are_left_out_of_account() -> None:
    assert body.from_wire(2, {2: 1, 32: "new", 65_535: None}) == body.Data(1)
    assert body.from_wire(7, {1: "s", 2: {99: 1}}) == body.Governance("s", body.Assertion())


@pytest.mark.parametrize("value", [0, -7, 21.5, 10**15, True, False, "", "open", b"\x00\x01"])
def test_a_scalar_reading_gives_its_value_and_unit_back(value: object) -> None:
    found = body.reading(value, "Cel")
    assert found.schema == 112
    assert (found.value(), type(found.value())) == (value, type(value))
    assert found.units() == "Cel"
    assert body.reading(value).units() is None


def test_a_reading_is_a_senml_record_with_integer_labels() -> None:
    assert body.reading(21.5, "Cel").content == [{1: "Cel", 2: 21.5}]
    assert body.reading("up").content == [{3: "up"}]
    assert body.reading(True).content == [{4: True}]
    assert body.reading(b"\x01").content == [{8: b"\x01"}]


def test_a_reading_of_several_values_gives_a_record_for_each() -> None:
    found = body.reading(
        {"temperature": 21.5, "humidity": 48}, fields={"temperature": "Cel", "humidity": "%RH"}
    )
    assert found.content == [{0: "temperature", 1: "Cel", 2: 21.5}, {0: "humidity", 1: "%RH", 2: 48}]
    assert found.value() == {"temperature": 21.5, "humidity": 48}
    assert found.units() == {"temperature": "Cel", "humidity": "%RH"}
    assert body.reading({"a": 1}, "Cel").units() == {"a": "Cel"}


@pytest.mark.parametrize(
    "value",
    [None, [1, 2], {}, {"a": [1]}, {1: 2}, {"": 1}, {" a": 1}, math.nan, math.inf, {"a": None}],
    ids=repr,
)
def test_any_other_value_is_content_as_it_is(value: object) -> None:
    found = body.reading(value)
    assert found.schema is None
    assert found.units() is None
    assert repr(found.value()) == repr(value)
    with pytest.raises(Invalid):
        body.reading(value, "Cel")


def test_units_are_asked_of_fields_that_are_there() -> None:
    with pytest.raises(Invalid, match="'b'"):
        body.reading({"a": 1}, fields={"a": "Cel", "b": "%RH"})
    with pytest.raises(Invalid, match="fields"):
        body.reading(1, fields={"a": "Cel"})
    with pytest.raises(Invalid, match="unit"):
        body.reading(1, "")


@pytest.mark.parametrize(
    "content",
    [
        [],
        [{}],
        [{1: "Cel"}],
        [{2: 1, 3: "a"}],
        [{2: 1}, {2: 2}],
        [{0: "a", 2: 1}, {0: "a", 2: 2}],
        [{0: "a", 2: 1}, {2: 2}],
        [{-2: "urn:", 2: 1}],
        [{0: 1, 2: 1}],
        [{2: 1, 6: 5}],
        "text",
        {0: "a"},
    ],
    ids=repr,
)
def test_senml_of_another_form_is_given_as_its_content(content: object) -> None:
    data = body.Data(content, 112)
    assert data.value() == content
    assert data.units() is None
    assert body.from_json("data", body.to_json(data)) == data


def test_readings_are_senml_in_json_too() -> None:
    assert body.to_json(body.reading({"a": 1.5}, "Cel")) == {
        "schema": 112,
        "content": [{"n": "a", "u": "Cel", "v": 1.5}],
    }


def test_an_answer_says_how_far_an_intent_has_come() -> None:
    assert body.answer("done", 5) == body.Data({"status": "done", "value": 5}, "kos.answer")
    with pytest.raises(Invalid):
        body.answer("failed")


@given(CONTENT)
def test_values_go_to_json_and_back(value: Any) -> None:
    text = json.dumps(jsonform.to_json(value), allow_nan=False)
    assert cbor.encode(jsonform.from_json(json.loads(text))) == cbor.encode(value)


@pytest.mark.parametrize(
    "value",
    [
        {"$bytes": 1},
        {"$bytes": "a"},
        {"$bytes": "a+b="},
        {"$float": "1"},
        {"$float": 1},
        {"$map": {}},
        {"$map": [[1]]},
        {"$map": [[[1], 2]]},
        {"$map": [[True, 2]]},
        {"$other": 1},
    ],
    ids=repr,
)
def test_another_dollar_object_is_invalid(value: object) -> None:
    with pytest.raises(Invalid):
        jsonform.from_json(value)


@pytest.mark.parametrize(
    ("wall_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_800_000_000_007, "2027-01-15T08:00:00.007Z"),
        (jsonform.MAX_WALL_MS, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_rfc_3339_in_utc_with_milliseconds(wall_ms: int, text: str) -> None:
    assert jsonform.time_text(wall_ms) == text
    assert jsonform.parse_time(text) == wall_ms


def test_a_time_with_an_offset_is_understood_and_one_without_is_not() -> None:
    assert jsonform.parse_time("2027-01-15T10:00:00+02:00") == 1_800_000_000_000
    for text in ("2027-01-15T08:00:00", "yesterday", 5, None):
        with pytest.raises(Invalid):
            jsonform.parse_time(text)
    with pytest.raises(Invalid):
        jsonform.time_text(10**18)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("datum", {}),
        (7, {}),
        ([], {}),
        ("data", []),
        ("data", {"content": 1, "colour": 2}),
        ("data", {}),
        ("data", {"content": 1, "checksum": "xyz"}),
        ("trust", {"act": "praise", "subject": "00" * 16}),
        ("trust", {"act": "query", "subject": "00" * 15}),
        ("trust", {"act": "query", "subject": 5}),
        ("config", {"target": "t", "updates": {}, "strategy": 1}),
    ],
)
def test_a_body_in_json_that_breaks_the_grammar_is_invalid(kind: Any, value: Any) -> None:
    with pytest.raises(Invalid):
        body.from_json(kind, value)
