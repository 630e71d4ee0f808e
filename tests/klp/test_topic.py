from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.errors import Invalid
from kos_edge.klp.topic import check_filter, check_topic, matches


@pytest.mark.parametrize(
    "text", ["a", "air.temperature", "A-1_b.2", "x" * 64, ".".join(["a" * 63] * 4)[:255]]
)
def test_segments_joined_by_dots_are_a_topic(text: str) -> None:
    check_topic(text)
    check_filter(text)


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "a b", "ä", "a/b", "x" * 65, "a\n", "*", "#", ".".join("a" * 129)]
)
def test_anything_else_is_no_topic(text: str) -> None:
    with pytest.raises(Invalid):
        check_topic(text)


@pytest.mark.parametrize("text", ["*", "#", "a.*", "#.a", "a.#.b", "*.*.#"])
def test_a_filter_may_have_wildcards_as_segments(text: str) -> None:
    check_filter(text)


@pytest.mark.parametrize("text", ["", "a*", "a.#b", "**", "a..#", "#."])
def test_anything_else_is_no_filter(text: str) -> None:
    with pytest.raises(Invalid):
        check_filter(text)


@pytest.mark.parametrize(
    ("filter", "topic", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.b.c", False),
        ("a.b", "a", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("#", "a.b.c", True),
        ("a.#", "a", True),
        ("a.#", "a.b.c", True),
        ("a.#", "ab", False),
        ("#.c", "a.b.c", True),
        ("#.c", "c", True),
        ("a.#.c", "a.c", True),
        ("a.#.c", "a.b.b.c", True),
        ("a.#.c", "a.b", False),
        ("#.b.#.b", "a.b.b", True),
        ("#.b.#.b", "a.b.c", False),
        ("*.#.*", "a", False),
        ("*.#.*", "a.b", True),
    ],
)
def test_a_filter_selects_topics(filter: str, topic: str, expected: bool) -> None:
    assert matches(filter, topic) is expected


def _expression(filter: str) -> str:
    parts = {"*": r"[^.]+\.", "#": r"(?:[^.]+\.)*"}
    return "".join(parts.get(segment, re.escape(segment) + r"\.") for segment in filter.split("."))


@given(
    st.lists(st.sampled_from(["a", "b", "*", "#"]), min_size=1, max_size=6).map(".".join),
    st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=6).map(".".join),
)
def test_selection_is_that_of_a_regular_expression(filter: str, topic: str) -> None:
    assert matches(filter, topic) == bool(re.fullmatch(_expression(filter), topic + "."))


def test_a_hostile_filter_takes_no_time() -> None:
    assert not matches(".".join(["#", "a"] * 60), ".".join(["a"] * 120 + ["b"]))
