"""The hub's card dies, really: its state is deleted, and a new hub from the recovery file gets what the edges hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.boxes import boxes, joined

pytestmark = pytest.mark.e2e


def test_a_new_hub_from_the_recovery_file_gets_the_backlog_of_edges_that_nobody_touched(
    tmp_path: Path,
) -> None:
    secret, moved = tmp_path / "passphrase", tmp_path / "authority.recovery"
    passphrase = ("--passphrase-file", str(secret))
    with boxes(tmp_path, "hub", "north", "south") as (hub, north, south):
        joined(hub, north, south)
        secret.write_text(f"{hub.made['passphrase']}\n")
        for edge in (north, south):
            edge.start()
        first = north("publish", "air.temperature", "1").ids
        north.until_drained()
        old = hub.ask("status")["kid"]
        assert hub("authority", "export", str(moved), "--remove", *passphrase).code == 0
        hub.kill()
        hub.close()
        held = [
            *north("publish", "air.temperature", "2").ids,
            *north("publish", "air.temperature", "3").ids,
            *south("publish", "air.temperature", "4").ids,
        ]
        assert len(held) == 3
        south.kill()
        south.close()
        south.start()
        shutil.rmtree(hub.state)
        made = hub.ask("hub", "replace", "hub", "--recovery", str(moved), *passphrase)
        (hub.state / "config.toml").write_text("[network]\nmdns = false\n")
        assert made["kid"] != old
        hub.start()
        north.until_drained()
        south.until_drained()
        kept = [message["id"] for message in hub.kept()]
        assert sorted(kept) == sorted(held)
        assert not set(first) & set(kept), "what the dead card alone had is gone"
        standing = {peer["kid"]: peer["standing"] for peer in north.ask("peers")}
        assert (standing[made["kid"]], standing[old]) == ("member", "revoked")
