from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.errors import Invalid
from kos_edge.klp import merkle

DATA = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


def by_the_rfc(data: Sequence[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, word for word."""
    if len(data) == 1:
        return sha256(b"\x00" + data[0]).digest()
    split = 1
    while split * 2 < len(data):
        split *= 2
    return sha256(b"\x01" + by_the_rfc(data[:split]) + by_the_rfc(data[split:])).digest()


@given(DATA)
def test_the_root_is_that_of_the_rfc(data: list[bytes]) -> None:
    assert merkle.root([merkle.leaf(one) for one in data]) == by_the_rfc(data)


@given(DATA, st.data())
def test_a_path_leads_from_its_leaf_to_the_root_and_from_no_other(
    data: list[bytes], draw: st.DataObject
) -> None:
    leaves = [merkle.leaf(str(at).encode() + one) for at, one in enumerate(data)]
    root = merkle.root(leaves)
    index = draw.draw(st.integers(0, len(leaves) - 1))
    steps = merkle.path(leaves, index)
    assert merkle.root_from_path(leaves[index], index, len(leaves), steps) == root
    for other in range(len(leaves)):
        if other != index:
            try:
                assert merkle.root_from_path(leaves[index], other, len(leaves), steps) != root
            except Invalid:
                continue


def test_the_example_of_the_rfc_has_its_paths() -> None:
    # RFC 9162 section 2.1.5: seven leaves, with the nodes named there.
    a, b, c, d, e, f, j = leaves = [merkle.leaf(bytes((n,))) for n in range(7)]

    def node(left: bytes, right: bytes) -> bytes:
        return sha256(b"\x01" + left + right).digest()

    g, h, i = node(a, b), node(c, d), node(e, f)
    k, l = node(g, h), node(i, j)  # noqa: E741
    assert merkle.root(leaves) == node(k, l)
    assert merkle.path(leaves, 0) == [b, h, l]
    assert merkle.path(leaves, 3) == [c, g, l]
    assert merkle.path(leaves, 4) == [f, j, k]
    assert merkle.path(leaves, 6) == [i, k]


@pytest.mark.parametrize(("index", "count"), [(-1, 5), (5, 5), (0, 0)])
def test_a_leaf_outside_of_the_tree_has_no_root(index: int, count: int) -> None:
    with pytest.raises(Invalid):
        merkle.root_from_path(bytes(32), index, count, [])


@pytest.mark.parametrize("length", [0, 1, 2, 4, 5])
def test_a_path_is_as_long_as_the_tree_asks(length: int) -> None:
    with pytest.raises(Invalid):
        merkle.root_from_path(bytes(32), 2, 5, [bytes(32)] * length)
