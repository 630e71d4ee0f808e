"""Two machines on a link, as network namespaces: real multicast DNS, and nothing told by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.discovery.links import Machine, cable, machines
from tests.e2e.boxes import PATIENCE_S, Box, until

pytestmark = pytest.mark.netns


@pytest.fixture
def link() -> Iterator[list[Machine]]:
    with machines("hub", "edge") as (hub, edge):
        cable(hub, edge)
        hub.up("eth0", "10.9.8.1/24")
        edge.up("eth0", "10.9.8.2/24")
        yield [hub, edge]


@pytest.fixture
def hub(link: list[Machine], tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path / "hub", prefix=link[0].command(), loopback=False)
    box.init("hub")
    box.start()
    yield box
    box.close()


def found(box: Box, kid: str) -> bool:
    return any(peer["kid"] == kid and peer["found_by"] == "mdns" for peer in box.ask("peers"))


def test_a_hub_and_an_edge_find_each_other_join_and_a_reading_travels(
    hub: Box, link: list[Machine], tmp_path: Path
) -> None:
    edge = Box(tmp_path / "edge", prefix=link[1].command(), loopback=False)
    try:
        edge.init("edge")
        hub_kid, edge_kid = hub.made["kid"], edge.made["kid"]
        edge.start()
        until(lambda: found(edge, hub_kid), "the edge does not find the hub")
        until(lambda: found(hub, edge_kid), "the hub does not find the edge")
        token = hub.ask("invite")["token"]
        assert edge.ask("join", token)["outcome"] == "joined"
        edge.until_connected()
        (id,) = edge("publish", "cellar.temperature", "21.5", "--unit", "Cel").ids
        seen = hub("tail", "cellar.#", "--from-start", "--count", "1", "--timeout", str(PATIENCE_S))
        message = json.loads(seen.out)
        assert (message["id"], message["source"], message["name"]) == (id, edge_kid, "edge")
        assert (message["topic"], message["body"], message["unit"]) == ("cellar.temperature", 21.5, "Cel")
    finally:
        edge.close()


def test_a_known_key_needs_no_address_at_all_and_finds_the_hub_again(
    hub: Box, link: list[Machine], tmp_path: Path
) -> None:
    edge = Box(tmp_path / "edge", prefix=link[1].command(), loopback=False)
    try:
        edge.init("edge")
        hub.ask("allow", edge.made["public"])
        edge.start()
        edge.ask("join", "--mesh", hub.made["mesh"])
        edge.until_member()
        edge.until_connected()
        hub.kill()
        assert edge("publish", "cellar.temperature", "1").code == 0
        hub.start()
        edge.until_drained()
        assert [message["body"] for message in hub.kept()] == [1]
    finally:
        edge.close()
