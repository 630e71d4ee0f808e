"""A queue that is full while the hub is away: what had to go is *dropped by policy* at the hub, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from kos_edge.cli.demo.ledger import Ledger, compare
from tests.e2e.boxes import boxes, joined

pytestmark = pytest.mark.e2e

QUEUE = '[queue]\nmax-messages = 20\nwhen-full = "drop-oldest"\npack-messages = 1\n'


def test_the_hub_hears_which_messages_were_dropped_while_it_was_away_and_misses_none(tmp_path: Path) -> None:
    with boxes(tmp_path, "hub", "north") as (hub, north):
        joined(hub, north)
        hub.kill()
        with (north.state / "config.toml").open("a") as config:
            config.write(QUEUE)
        north.start()
        ids = []
        for values in (range(20), range(20, 35)):  # at once no more than fits is taken
            done = north("publish", "air.temperature", stdin="".join(f"{value}\n" for value in values))
            assert done.code == 0, done
            ids += done.ids
        assert len(set(ids)) == 35, "each was accepted"
        (lane,) = north.until(lambda status: status["queue"]["lanes"], "nothing waits")["queue"]["lanes"]
        assert (lane["messages"], lane["dropped"]) == (20, 15)
        north.kill()  # the tombstone was committed with what took the place
        hub.start()
        north.start()
        north.until_drained()
        journal = hub.until(lambda status: status["journal"]["messages"] == 21, "not all arrived")["journal"]
        assert journal["dropped"] == 15
        north.stop()
        hub.stop()
        came = hub.kept()
        gone = [line for line in came if line["type"] == "tombstone"]
        assert [(line["id"], line["body"]) for line in gone] == [
            (ids[0], {"reason": "dropped by policy", "first": 1, "last": 15, "count": 15})
        ]
        assert [line["id"] for line in came if line not in gone] == ids[15:]
        assert compare([north.state], hub.state) == Ledger(36, 21, 0, 0, 0, 0, 0, dropped=15)
