"""Agents and secrets: asked for by name, in any kind of function."""

from __future__ import annotations

import pytest

from kos_edge import Agent
from kos_edge.errors import Invalid, Misuse
from kos_edge.testing import Lab, in_virtual_time


@in_virtual_time
async def test_sensors_and_resources_ask_for_secrets_by_name() -> None:
    agent = Agent("bridge")
    seen: list[object] = []

    @agent.resource
    def broker() -> object:
        seen.append(agent.secret("mqtt.password"))
        yield "broker"

    @agent.sensor(".a", every="1s")
    def plain(broker: str) -> float:
        seen.append(agent.secret_bytes("key"))
        return 1.0

    @agent.sensor(".b", every="1s")
    async def on_the_loop() -> float:
        with pytest.raises(Invalid, match="is no text"):
            agent.secret("key")
        with pytest.raises(Invalid, match="no secret"):
            agent.secret("none")
        seen.append("asked")
        return 1.0

    async with Lab() as lab:
        node = lab.node("shed")
        node.keep_secret("mqtt.password", "hunter2")
        node.keep_secret("key", b"\xff")
        node.run(agent)
        await lab.advance("0.5s")
    assert set(map(str, seen)) == {"hunter2", "b'\\xff'", "asked"}


def test_a_secret_is_for_a_running_agent() -> None:
    with pytest.raises(Misuse, match="not running"):
        Agent("bridge").secret("wifi")
