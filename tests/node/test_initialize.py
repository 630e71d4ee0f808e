"""Making a node: what is there already is never thrown away."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from kos_edge.errors import Refused
from kos_edge.node.initialize import initialize
from kos_edge.node.keyfile import read_key
from kos_edge.node.statedir import STORE_NAME
from kos_edge.store.store import Store
from tests.delivery.world import Source


def test_a_second_node_in_one_directory_is_refused_and_the_first_stays(tmp_path: Path) -> None:
    initialize(tmp_path, "edge", "pump")
    before = (tmp_path / "node.key").read_bytes()
    with pytest.raises(Refused, match="there is a node"):
        initialize(tmp_path, "edge", "valve")
    assert (tmp_path / "node.key").read_bytes() == before


def test_what_was_interrupted_before_the_key_is_begun_again(tmp_path: Path) -> None:
    initialize(tmp_path, "edge", "pump")
    (tmp_path / "node.key").unlink()
    assert initialize(tmp_path, "edge", "valve")["name"] == "valve"


def test_messages_whose_key_is_gone_are_not_thrown_away(tmp_path: Path) -> None:
    initialize(tmp_path, "edge", "pump")
    with contextlib.closing(Store(tmp_path / STORE_NAME)) as store:
        Source(read_key(tmp_path / "node.key"), store).append([1])
    (tmp_path / "node.key").unlink()
    with pytest.raises(Refused, match="has messages in it"):
        initialize(tmp_path, "edge", "pump")
    with contextlib.closing(Store(tmp_path / STORE_NAME)) as store:
        assert store.packs.count == 1
