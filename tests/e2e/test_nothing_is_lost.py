"""SIGKILL on either side under load: what was acknowledged is there once, in order. Real processes, real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kos_edge.cli.demo.ledger import Ledger, compare
from tests.e2e.boxes import Box, boxes, joined
from tests.e2e.publishing import Publishing

pytestmark = pytest.mark.e2e

UNAVAILABLE, UNKNOWN = 69, 75


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Box, Box]]:
    """A hub and an edge that has joined it."""
    with boxes(tmp_path_factory.mktemp("lost"), "hub", "north") as (hub, north):
        joined(hub, north)
        yield hub, north


@pytest.fixture
def pair(made: tuple[Box, Box]) -> tuple[Box, Box]:
    """The two, running and connected."""
    for box in made:
        if not box.runs:
            box.close()
            box.start()
    made[1].until_connected()
    return made


def settle(hub: Box, north: Box, acknowledged: list[str]) -> Ledger:
    """Wait until all has arrived, stop both, and compare: by the journals, and by what the publisher was told."""
    north.until_drained()
    north.stop()
    hub.stop()
    arrived = [message["id"] for message in hub.kept()]
    assert len(set(arrived)) == len(arrived)
    known = set(acknowledged)
    assert [id for id in arrived if id in known] == acknowledged, "out of order, or not there"
    ledger = compare([north.state], hub.state)
    assert ledger == Ledger(ledger.accepted, ledger.accepted, 0, 0, 0, 0, 0)
    assert ledger.accepted >= len(acknowledged)
    return ledger


def test_an_edge_killed_under_load_with_a_backlog_while_the_hub_is_away_loses_nothing(
    pair: tuple[Box, Box],
) -> None:
    hub, north = pair
    with Publishing(north, "air.temperature") as load:
        load.wait_for(200)
        hub.kill()
        load.wait_for(200)
        north.kill()
    assert load.code in (UNAVAILABLE, UNKNOWN), load.complaint  # killed between two batches, or within one
    assert f"({len(load.ids):,} accepted before " in load.complaint
    north.start()
    with Publishing(north, "air.temperature") as more:
        more.wait_for(100)
        north.kill()
    north.start()
    hub.start()
    ledger = settle(hub, north, load.ids + more.ids)
    assert ledger.accepted >= 500


def test_a_hub_killed_twice_under_load_has_every_message_once(pair: tuple[Box, Box]) -> None:
    hub, north = pair
    with Publishing(north, "air.temperature") as load:
        for _ in range(2):
            load.wait_for(200)
            hub.kill()
            load.wait_for(50)
            hub.start()
            north.until_connected()
        load.wait_for(100)
    assert load.code == 0, load.complaint
    settle(hub, north, load.ids)


def test_what_is_published_with_no_daemon_is_delivered_by_the_next_one(pair: tuple[Box, Box]) -> None:
    hub, north = pair
    north.stop()
    one = north("publish", "air.temperature", "21.5")
    many = north("publish", "air.humidity", stdin='1\n{"a": [2, null]}\n"three"\n')
    assert (one.code, many.code) == (0, 0), (one, many)
    ids = one.ids + many.ids
    assert len(set(ids)) == 4
    assert north.ask("queue")["messages"] == 4
    north.start()
    north.until_drained()
    bodies = {message["id"]: message["body"] for message in hub.kept()}
    assert [bodies[id] for id in ids] == [21.5, 1, {"a": [2, None]}, "three"]
    settle(hub, north, ids)
