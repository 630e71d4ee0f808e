"""Arguments of commands are checked against the signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pytest

from kos_edge.agents.signature import check_arguments, describe, fits, parameters
from kos_edge.errors import Invalid, Refused


def fan(speed: float, name: str = "a", *, on: bool = True) -> None: ...


@pytest.mark.parametrize("given", [{"speed": 1}, {"speed": 1.5, "name": "b"}, {"speed": 0, "on": False}])
def test_arguments_that_fit_pass(given: dict[str, Any]) -> None:
    check_arguments("fan.set", parameters(fan), given)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "fan.set needs the argument 'speed'"),
        ({"speed": "fast"}, "speed must be float, not str"),
        ({"speed": True}, "speed must be float, not bool"),
        ({"speed": 1, "on": 1}, "on must be bool, not int"),
        ({"speed": 1, "colour": "red"}, "fan.set knows no argument 'colour'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(given: dict[str, Any], text: str) -> None:
    with pytest.raises(Refused) as refused:
        check_arguments("fan.set", parameters(fan), given)
    assert text in refused.value.message


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, 3, 3.5),
        (float | None, None, "x"),
        (Literal["low", "high"], "low", "middle"),
        (list[int], [1, 2], [1, "2"]),
        (Sequence[str], ["a"], "a"),
        (dict[str, float], {"a": 1.0}, {"a": "b"}),
        (Mapping[str, int], {}, []),
        (Annotated[int, "percent"], 4, None),
        (bytes, b"x", "x"),
    ],
)
def test_what_an_annotation_says_is_checked(hint: Any, good: object, bad: object) -> None:
    assert fits(hint, good)
    assert not fits(hint, bad)
    assert describe(hint)


def test_what_we_do_not_know_fits() -> None:
    assert fits(Any, object())
    assert fits(pytest.Item, 3)


def test_a_function_with_open_arguments_is_no_command() -> None:
    def many(*values: int) -> None: ...

    with pytest.raises(Invalid, match="cannot be given by name"):
        parameters(many)
