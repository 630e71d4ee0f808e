"""A card that was copied, with both copies running: found, shut out, and the right one goes on with a new key."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.e2e.boxes import PATIENCE_S, Box, boxes, joined

pytestmark = pytest.mark.e2e


def published(box: Box, value: str) -> str:
    """The value, once it is accepted."""
    assert box("publish", "air.temperature", value).code == 0
    return value


def test_the_right_one_of_two_goes_on_and_what_it_accepted_arrives_once(tmp_path: Path) -> None:
    with boxes(tmp_path, "hub", "north", "twin") as (hub, north, twin):
        joined(hub, north)
        north.start()
        mine = [published(north, "1")]
        north.until_drained()
        north.stop()
        shutil.copytree(north.state, twin.state)
        for box in (north, twin):
            box.start()
        deadline = time.monotonic() + PATIENCE_S
        while not any(peer["standing"] == "quarantined" for peer in hub.ask("peers")):
            assert time.monotonic() < deadline, hub.log
            mine.append(published(north, str(len(mine) + 1)))
            published(twin, str(-len(mine)))
        assert any("a clone or a restored card" in text for text in hub.ask("status")["warnings"])
        mine.append(published(north, str(len(mine) + 1)))
        token = hub.ask("invite", "--replaces", "north")["token"]
        refused = north("rekey", token)
        assert refused.code != 0, "its daemon runs"
        assert "in use" in refused.err
        north.stop()
        done = north.ask("rekey", token)
        assert (done["name"], done["outcome"]) == ("north", "joined")
        north.start()
        mine.append(published(north, str(len(mine) + 1)))
        north.until_drained()
        kept = [message["body"] for message in hub.kept()]
        assert sorted(value for value in kept if value > 0) == [int(value) for value in mine]
        twin_stays_outside = {peer["kid"]: peer["standing"] for peer in hub.ask("peers")}
        assert twin_stays_outside[done["old"]] == "revoked"
        assert twin_stays_outside[done["kid"]] == "member"
