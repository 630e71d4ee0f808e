"""Values become payloads, and payloads readings."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kos_edge.agents.payload import payload_of
from kos_edge.agents.port import Delivery
from kos_edge.agents.reading import Reading
from kos_edge.errors import Invalid
from kos_edge.klp.body import Data, Intent, Payload


def arrived(payload: Payload) -> Reading:
    return Reading.of(Delivery("id", bytes(16), "node", "a.b", 1, 1_800_000_000.0, payload, uncertainty=0.5))


def test_a_number_with_a_unit_arrives_as_it_left() -> None:
    payload = payload_of(21.5, "Cel")
    assert payload is not None
    reading = arrived(payload)
    assert (reading.value, reading.unit, reading.source, reading.topic) == (21.5, "Cel", "node", "a.b")
    assert reading.time is not None
    assert reading.time.isoformat() == "2027-01-15T08:00:00+00:00"
    assert str(reading) == "21.5 Cel"
    assert float(reading) == 21.5


def test_several_values_have_a_unit_each() -> None:
    payload = payload_of({"t": 20.0, "h": 40.0}, fields={"t": "Cel", "h": "%RH"})
    assert payload is not None
    reading = arrived(payload)
    assert reading.value == {"t": 20.0, "h": 40.0}
    assert (reading["h"].value, reading["h"].unit) == (40.0, "%RH")
    with pytest.raises(KeyError):
        reading["x"]


def test_values_of_one_kind_share_their_unit() -> None:
    payload = payload_of({"a": 1, "b": 2}, "B")
    assert payload is not None
    assert arrived(payload).unit == {"a": "B", "b": "B"}


def test_a_field_that_is_missing_or_none_is_left_out() -> None:
    payload = payload_of({"t": 20.0, "h": None}, fields={"t": "Cel", "h": "%RH", "p": "Pa"})
    assert payload is not None
    assert arrived(payload).value == {"t": 20.0}


@pytest.mark.parametrize("nothing", [None, {}, {"t": None}])
def test_nothing_is_not_published(nothing: object) -> None:
    assert payload_of(nothing) is None


@pytest.mark.parametrize("wrong", [math.nan, math.inf, {"t": -math.inf}])
def test_nan_and_infinity_are_no_readings(wrong: object) -> None:
    with pytest.raises(Invalid, match="no reading"):
        payload_of(wrong)


@pytest.mark.parametrize("wrong", [{"x": 1}, 3.0])
def test_what_the_fields_do_not_name_is_refused(wrong: object) -> None:
    with pytest.raises(Invalid):
        payload_of(wrong, fields={"t": "Cel"})


@pytest.mark.parametrize("value", ["text", True, 7, b"\x00", [1, 2, 3], {"a": {"b": [1]}}])
def test_any_plain_value_can_be_published(value: Any) -> None:
    payload = payload_of(value)
    assert isinstance(payload, Data)
    assert arrived(payload).value == value


def test_a_payload_is_published_as_it_is() -> None:
    intent = Intent("x.y")
    assert payload_of(intent) is intent
    assert arrived(intent).value == intent
    with pytest.raises(Invalid):
        float(arrived(intent))
