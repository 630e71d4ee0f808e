"""Becoming a member, and being one no more: by token, by approval, by a known key. Real processes on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.boxes import Box, boxes, until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with boxes(tmp_path_factory.mktemp("joining"), "hub") as (hub,):
        hub.init("hub")
        hub.start()
        yield hub


@pytest.fixture
def edge(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Box]:
    """A new edge, with a name that nobody else has in the mesh."""
    with boxes(tmp_path, f"edge-{len(request.node.name)}") as (edge,):
        edge.init("edge")
        yield edge


def connected(hub: Box, name: str) -> bool:
    return any(peer["name"] == name and peer["connected"] for peer in hub.ask("peers"))


def test_a_join_with_no_hub_in_reach_keeps_the_token_and_run_goes_on_with_it(hub: Box, edge: Box) -> None:
    token = hub.ask("invite")["token"]
    hub.stop()
    told = edge("join", token)
    assert told.code == 0, told
    assert "the wish is kept" in told.out
    assert "run" in told.out
    assert edge.ask("status")["membership"] == "waiting"
    edge.start()
    assert edge.ask("status")["membership"] == "waiting"
    hub.start()
    edge.until_member()
    edge.until_connected()
    assert edge("publish", "air.temperature", "1").code == 0
    edge.until_drained()


def test_a_newcomer_waits_until_a_person_has_compared_the_words(hub: Box, edge: Box) -> None:
    edge.start(peers=[hub])
    report = edge.ask("join", "--mesh", hub.made["mesh"])
    assert report["outcome"] == "pending"
    (waiting,) = hub.ask("pending")
    assert waiting["words"] == report["words"] == edge.made["words"]
    assert waiting["kid"] == edge.made["kid"]
    assert edge.ask("status")["membership"] == "pending"
    admitted = hub("admit", waiting["words"], "--name", "cellar")
    assert (admitted.code, "cellar is a member" in admitted.out) == (0, True), admitted
    status = edge.until_member()
    assert status["name"] == "cellar"
    assert hub.ask("pending") == []
    edge.until_connected()


def test_a_key_made_known_beforehand_needs_no_token_and_no_person(hub: Box, edge: Box) -> None:
    assert hub("allow", edge.made["public"], "--role", "relay", "--name", "roof").code == 0
    edge.start(peers=[hub])
    report = edge.ask("join", "--mesh", hub.made["mesh"])
    assert (report["outcome"], report["name"], report["role"]) == ("joined", "roof", "relay")
    edge.until_connected()


def test_a_revoked_node_is_out_at_once_stays_out_and_another_member_knows(
    hub: Box, edge: Box, tmp_path: Path
) -> None:
    with boxes(tmp_path, "witness") as (witness,):
        witness.init("edge")
        token = hub.ask("invite", "--uses", "2")["token"]
        for box in (edge, witness):
            assert box.ask("join", token)["outcome"] == "joined"
        edge.start()
        witness.start(peers=[edge])
        edge.until_connected()
        witness.until_connected(2)
        report = hub.ask("revoke", edge.name, "--reason", "stolen")
        assert report["name"] == edge.name
        assert not connected(hub, edge.name), "its session ended before the command did"
        until(lambda: not connected(witness, edge.name), "the witness goes on with a revoked peer")
        (shown,) = [peer for peer in witness.ask("peers") if peer["name"] == edge.name]
        assert shown["standing"] == "revoked"
        assert edge("publish", "air.temperature", "1").code == 0, "local work goes on"
        until(lambda: not connected(edge, "hub"), "it still has a session with the hub")
        edge.stop()
        handshakes = hub.ask("status")["traffic"]["handshakes"]
        edge.start(peers=[hub])
        until(lambda: "revoked" in edge.log, "nobody tells it why")
        assert hub.ask("status")["traffic"]["handshakes"] == handshakes
        assert not connected(hub, edge.name)
        again = edge("--json", "join", token)
        assert not hub.ask("pending"), again
        assert hub("allow", edge.made["public"]).code == 77
